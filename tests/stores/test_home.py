"""Teller's own folder."""

import stat

import pytest

from teller.errors import StoreError
from teller.stores.home import LAYOUT, open_home


def test_the_home_folder_is_private_and_opens_again(tmp_path):
    home = open_home(tmp_path / "deep" / "home")

    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert all(folder.is_dir() for folder in (home.models, home.cache, home.audio, home.knowledge))
    assert open_home(home.path) == home


def test_a_folder_of_a_newer_teller_is_refused_and_left_alone(tmp_path):
    home = open_home(tmp_path / "home")
    (home.path / "layout").write_text(f"{LAYOUT + 1}\n")

    with pytest.raises(StoreError, match="newer Teller"):
        open_home(home.path)
    assert (home.path / "layout").read_text() == f"{LAYOUT + 1}\n"


def test_a_path_that_cannot_be_a_folder_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="set TELLER_HOME"):
        open_home(tmp_path / "file" / "home")
