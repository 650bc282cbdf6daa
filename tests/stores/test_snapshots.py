import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from teller.engines.scripted import ScriptedIndex
from teller.errors import StoreError
from teller.stores.snapshots import FileSnapshots


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "snapshots"


def index(*ids: int) -> ScriptedIndex:
    index = ScriptedIndex(4)
    index.add(np.array(ids, dtype=np.int64), np.eye(4, dtype=np.float32)[: len(ids)])
    return index


def save(folder, applied: int = 7) -> FileSnapshots:
    snapshots = FileSnapshots(folder)
    snapshots.save({"applied": applied}, {"ids": np.arange(5), "meta": np.zeros(2)}, {"0": index(1, 2)})
    return snapshots


def only(folder):
    (one,) = folder.iterdir()
    return one


def test_without_a_snapshot_there_is_none(folder):
    assert FileSnapshots(folder).load() is None


def test_a_snapshot_comes_back_whole(folder):
    snapshot = save(folder).load()
    assert snapshot.meta == {"applied": 7}
    assert snapshot.arrays["ids"].tolist() == [0, 1, 2, 3, 4]
    assert snapshot.arrays["meta"].tolist() == [0, 0]
    loaded = ScriptedIndex(4)
    loaded.load(snapshot.indexes["0"])
    assert len(loaded) == 2


def test_the_newest_replaces_the_others(folder):
    save(folder, 7)
    save(folder, 9)
    assert FileSnapshots(folder).load().meta == {"applied": 9}
    only(folder)


def test_several_who_save_at_once_all_succeed_and_one_snapshot_stays(folder):
    with ThreadPoolExecutor(6) as savers:
        list(savers.map(lambda applied: save(folder, applied), range(60)))
    only(folder)
    assert FileSnapshots(folder).load().meta["applied"] in range(60)


def test_what_a_killed_process_left_behind_is_cleared_and_what_another_is_writing_is_not(folder):
    for name, age_s in ((".partial-old", 7_200), (".partial-new", 60)):
        (folder / name).mkdir(parents=True)
        (folder / name / "state.npz").write_bytes(b"half")
        then = time.time() - age_s
        os.utime(folder / name, (then, then))
    save(folder)
    assert {path.name for path in folder.iterdir()} == {".partial-new", "snapshot-000000000001"}


def test_files_and_folders_are_private(folder):
    save(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only(folder).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in only(folder).iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["state.npz", "index-0", "seal.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_snapshot_is_passed_over(folder, name, damage):
    snapshots = save(folder)
    path = only(folder) / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    assert snapshots.load() is None


def test_a_pickle_is_never_loaded(folder):
    snapshots = save(folder)
    np.savez(only(folder) / "state.npz", array_ids=np.array([object()], dtype=object))
    assert snapshots.load() is None


def test_a_file_that_was_added_is_noticed(folder):
    snapshots = save(folder)
    (only(folder) / "index-1").write_bytes(b"x")
    assert snapshots.load() is None


def test_a_good_older_one_is_used_when_the_newest_is_damaged(folder):
    save(folder, 7)
    kept = only(folder)
    kept.rename(folder / "elsewhere")
    save(folder, 9)
    (folder / "elsewhere").rename(folder / kept.name.replace("1", "0"))
    newest = max(folder.iterdir())
    (newest / "seal.json").write_text(json.dumps({}))
    assert FileSnapshots(folder).load().meta == {"applied": 7}


def test_a_snapshot_that_cannot_be_written_leaves_the_old_one(folder, monkeypatch):
    snapshots = save(folder, 7)

    def full(_self, _path):
        raise OSError(28, "No space left on device")

    broken = index(1)
    monkeypatch.setattr(type(broken), "save", full)
    with pytest.raises(StoreError, match="No space left"):
        snapshots.save({"applied": 9}, {}, {"0": broken})
    assert snapshots.load().meta == {"applied": 7}
    only(folder)


def test_discarding_leaves_nothing(folder):
    snapshots = save(folder)
    (folder / ".partial-left-by-a-crash").mkdir()
    snapshots.discard()
    assert list(folder.iterdir()) == []
