"""`teller bench` as its user meets it."""

import json

import pytest
from typer.testing import CliRunner

from teller.bench.figures import figures_of
from teller.bench.replay import Reply
from teller.cli.bench import _own_up
from teller.cli.teller import app

ANSWERS = """
[[answer]]
id = "cards.freeze"
version = 1
class = "public"
title = "Freezing a card"
asks = ["how do I freeze my card", "freeze my card please", "can I lock my card for a while"]
text = "Open the app, choose the card and tap Freeze."

[[answer]]
id = "branches.hours"
version = 1
class = "public"
title = "Opening hours"
asks = ["when are you open", "what are your opening hours", "what time does the branch close"]
text = "Our branches are open from nine to five on weekdays."
"""


@pytest.fixture
def bank(tmp_path):
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "bank.toml").write_text(ANSWERS)
    return ["--home", str(tmp_path / "home"), "--set", f"knowledge.path={tmp_path / 'answers'}"]


@pytest.mark.engine
def test_arms_are_compared_on_one_stream_and_the_homes_cache_is_not_touched(bank, tmp_path):
    picture = tmp_path / "bench.png"
    command = [
        *bank,
        "bench",
        "--turns",
        "60",
        "--concurrency",
        "1",
        "--cache",
        "off,exact,semantic",
        "--plot",
        str(picture),
        "--json",
    ]

    result = CliRunner().invoke(app, command)

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    arms = report["arms"]
    assert [arms[name]["turns"] for name in ("off", "exact", "semantic")] == [60, 60, 60]
    assert (arms["off"]["hits"], arms["off"]["model_calls"]) == (0, 60)
    assert arms["exact"]["hits"] >= 40  # a question in no general form is not kept
    assert arms["exact"]["wrong_hits"] == 0
    gain = report["gains"]["exact"]
    assert gain["low"] <= gain["work"] <= gain["high"]
    assert gain["model_calls_saved"] == 60 - arms["exact"]["model_calls"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "home" / "bench").iterdir()) == []
    assert not (tmp_path / "home" / "cache" / "log.sqlite").exists()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--cache", "warm"], 2, "off, exact or semantic"),
        (["--server", "http://here"], 2, "NAME=URL"),
        (["--turns", "0"], 2, "turns"),
        (["--seed", "-1"], 2, "--seed"),
        (["--price", "inf"], 2, "--price"),
        (["--plot", "."], 2, "is a folder"),
        (["--server", "gone=http://127.0.0.1:1"], 1, "gone: not one of 5 questions was answered: 5 failed"),
        (["nowhere.jsonl"], 2, "cannot be read"),
    ],
)
def test_wrong_usage_is_one_clear_line(bank, more, code, said):
    result = CliRunner().invoke(app, [*bank, "bench", "--turns", "5", *more])

    assert getattr(result.exception, "exit_code", result.exit_code) == code
    assert said in f"{result.output}{result.exception}"


def test_questions_that_were_turned_away_are_owned_up_to(capsys):
    answered, busy = Reply(9.0, "approved"), Reply(0.1, "busy")

    _own_up("here", figures_of([answered, busy, busy], 1.0))

    assert capsys.readouterr().err == "here: of 3 questions 2 turned away: its figures are not of answers alone\n"
