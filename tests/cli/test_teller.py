"""`teller` as its user meets it, without opening a bot."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from teller import __version__
from teller.cli.teller import app


def run(*words: str):
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "  "], "it is empty"),
        (["ask"], "either a question or --audio"),
        (["ask", "hello", "--audio", "q.wav"], "either a question or --audio"),
        (["--set", "cache.mode", "config"], "not of the form name=value"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_is_said_at_once_with_exit_code_2(tmp_path, words, said):
    result = run("--home", str(tmp_path / "home"), *words)

    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "home").exists()


def test_the_version_needs_no_command():
    result = run("--version")

    assert result.exit_code == 0
    assert result.output.split()[-1] == __version__


def test_a_setting_is_shown_with_where_it_came_from(tmp_path):
    result = run("--home", str(tmp_path), "--set", "server.port=9000", "config", "--json")

    assert json.loads(result.output)["server.port"] == {"value": "9000", "origin": "command line"}


def test_a_mistake_in_a_setting_is_one_line_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "teller", "--home", str(tmp_path), "--set", "cache.mod=off", "config"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == "teller: command line: there is no setting 'cache.mod'; did you mean 'cache.mode'?\n"
