"""`teller nano` without training anything: what it writes, and what it says when it cannot."""

import json

import pytest
from typer.testing import CliRunner

from teller.cli.teller import app
from teller.errors import InputError


def run(*words: str):
    return CliRunner().invoke(app, ["nano", *words])


def test_edge_cases_are_written_as_chats(tmp_path):
    result = run("edge-cases", "--out", str(tmp_path / "edge.jsonl"), "--times", "0")
    lines = (tmp_path / "edge.jsonl").read_text().splitlines()
    assert result.exit_code == 0
    assert f"{len(lines)} conversations" in result.output
    assert [message["role"] for message in json.loads(lines[0])["messages"]] == ["system", "user", "assistant"]


def test_resuming_nothing_and_building_into_a_file_are_refused_before_anything_is_read(tmp_path):
    (tmp_path / "file").touch()
    for words, said in (
        (["--out", str(tmp_path), "--resume"], "no training.pt to go on from"),
        (["--out", str(tmp_path / "file")], "is a file; a folder is wanted"),
    ):
        result = run("build", *words)
        assert result.exit_code == 2
        assert said in " ".join(result.output.split())


@pytest.mark.parametrize("command", ["build", "eval", "edge-cases"])
def test_every_command_explains_itself(command):
    assert run(command, "--help").exit_code == 0


def test_a_folder_without_a_model_and_a_file_that_cannot_be_written_are_named(tmp_path):
    assert "there is no model in it" in str(run("eval", str(tmp_path)).exception)
    result = run("edge-cases", "--out", str(tmp_path / "no" / "edge.jsonl"), "--times", "0")
    assert isinstance(result.exception, InputError)
    assert "cannot be written" in str(result.exception)
