"""`teller` as its user meets it, without opening a bot."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from teller import __version__
from teller.cli.edge import show_table
from teller.cli.teller import app
from teller.errors import ConfigError


def run(*words: str):
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "  "], "it is empty"),
        (["ask"], "either a question or --audio"),
        (["ask", "hello", "--audio", "q.wav"], "either a question or --audio"),
        (["--set", "cache.mode", "config"], "not of the form name=value"),
        (["ask", "--audio", "no-such-file.wav"], "no-such-file.wav: cannot be read: No such file"),
        (["ask", "hello", "--speak", "."], "is a folder"),
        (["ask", "hello", "--speak", "no-such-folder/a.wav"], "or in none that is there"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_is_said_at_once_with_exit_code_2(tmp_path, words, said):
    result = run("--home", str(tmp_path / "home"), *words)

    assert getattr(result.exception, "exit_code", result.exit_code) == 2
    assert said in f"{result.output}{result.exception}"
    assert not (tmp_path / "home").exists()


def test_the_version_needs_no_command():
    result = run("--version")

    assert result.exit_code == 0
    assert result.output.split()[-1] == __version__


def test_a_setting_is_shown_with_where_it_came_from(tmp_path):
    result = run("--home", str(tmp_path), "--set", "server.port=9000", "config", "--json")

    assert json.loads(result.output)["server.port"] == {"value": 9000, "origin": "command line"}


def test_json_settings_are_of_their_own_types_and_hold_no_secret(monkeypatch):
    monkeypatch.setenv("TELLER_SERVER_TOKEN", "a-token-of-some-length")

    result = run("config", "--json")

    shown = {name: one["value"] for name, one in json.loads(result.output).items()}
    assert (shown["telemetry.metrics"], shown["knowledge.path"], shown["knowledge.min_score"]) == (True, None, 0.5)
    assert (shown["server_token"], shown["cache_key"]) == (True, False)
    assert "a-token" not in result.output


def test_a_mistake_in_a_setting_is_one_line_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "teller", "--home", str(tmp_path), "--set", "cache.mod=off", "config"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == "teller: command line: there is no setting 'cache.mod'; did you mean 'cache.mode'?\n"


@pytest.mark.parametrize(("words", "said"), [(["--home", ""], "command line: home"), ([], "TELLER_HOME: home")])
def test_an_empty_home_is_not_the_working_folder(monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELLER_HOME", "")

    result = run(*words, "config")

    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == f"{said}: no folder is named, got ''"


def test_a_huge_sound_file_is_refused_before_a_bot_is_opened(tmp_path):
    with (tmp_path / "huge.wav").open("wb") as file:
        file.truncate(100_000_001)

    result = run("--home", str(tmp_path / "home"), "ask", "--audio", str(tmp_path / "huge.wav"))

    assert "more than 100 MB" in str(result.exception)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff\xfe", "not TOML: it is no UTF-8 text"), (None, "cannot be read: Is a directory")]
)
def test_a_settings_file_that_is_none_is_named_with_the_reason(tmp_path, content, said):
    file = tmp_path / "teller.toml"
    file.mkdir() if content is None else file.write_bytes(content)

    assert str(run("--config", str(file), "config").exception) == f"{file}: {said}"


@pytest.mark.parametrize("words", [[], ["nano"]])
def test_no_command_is_described_by_half_a_sentence(words):
    assert "..." not in run(*words, "--help").output.split("Commands:")[1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_output_is_one_line():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "teller", "config"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "teller: input or output: No space left on device\n"


def test_nothing_of_a_table_is_cut_off_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    show_table(("answer", "hit rate"), [("a-very-long-answer-id", "123,456.78 %")])

    lines = capsys.readouterr().out.splitlines()
    assert "".join(line[:10].strip() for line in lines[1:]) + "".join(line[10:].strip() for line in lines[1:]) == (
        "a-very-long-answer-id123,456.78 %"
    )
