"""`orchestrator-log` on real homes: every form of it, beside a writer, and on what is missing or broken."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from tests.stores.turn_stage import ENABLED, NEW, composed, hit, lookup_of, write

from teller.cli.log_load import marks
from teller.cli.log_range import span_of
from teller.cli.log_views import duration, sparkline
from teller.cli.orchestrator_log import main
from teller.stores.turn_reader import Span
from teller.turn import Answer, DataClass, MissReason, Question, Source, Tier

NOW = time.time() - 60


class Home:
    """A home and the command line on it."""

    def __init__(self, path, monkeypatch, capsys):
        self.path, self._monkeypatch, self._capsys = path, monkeypatch, capsys
        self.log = path / "log" / "turns.sqlite"
        monkeypatch.setenv("TELLER_HOME", str(path))

    def run(self, *args):
        """Exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["orchestrator-log", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return ended.value.code or 0, out, err

    def json(self, *args):
        code, out, err = self.run(*args, "--json")
        assert code == 0, err
        return json.loads(out)

    def text(self, *args):
        code, out, err = self.run(*args)
        assert code == 0, err
        return out


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    return Home(tmp_path / "home", monkeypatch, capsys)


def recent(make, number, **changes):
    return make(number, started_at=NOW + number / 100, **changes)


@pytest.fixture
def used(home):
    """A home with three hits and two misses of today, and a miss of ten days ago."""
    product = Answer("6.5 %", Source.APPROVED, "rates.loan", DataClass.PRODUCT)
    write(
        home.log,
        composed(0, started_at=NOW - 10 * 86_400),
        recent(hit, 1, tier=Tier.EXACT),
        recent(hit, 2),
        recent(hit, 3, data_class=DataClass.PRODUCT),
        recent(composed, 4),
        recent(composed, 5, answer=product, miss_reason=MissReason.UNCERTAIN, grounded=False, adapter=NEW),
    )
    return home


def test_cache_hits_in_json_has_what_the_table_shows(used):
    view = used.json("--cache-hits")
    assert (view["turns"], view["hits"], view["misses"], view["hit_rate"]) == (5, 3, 2, 0.6)
    assert view["by_reason"] == {"too_far": 1, "uncertain": 1}
    assert view["by_tier"] == {"exact": 1, "semantic": 2}
    assert view["by_class"]["product"]["hits"] == 1
    assert view["saved_s"] == pytest.approx(1.5, abs=0.1)
    assert view["saved_money"] is None
    assert (view["before"]["hits"], view["before"]["misses"]) == (0, 1)
    assert view["accuracy"]["classes"] == []
    assert sum(slot["hits"] for slot in view["over_time"]) == 3
    text = used.text("--cache-hits")
    for part in ("60.00%", "outside the region", "composing takes", "+60.0 points", "hit rate over time"):
        assert part in text


def test_money_saved_is_shown_at_a_price(used):
    view = used.json("--cache-hits", "--set", "log.token_price=2", "--set", "log.currency=EUR")
    assert (view["saved_tokens"], view["saved_money"], view["currency"]) == (120, 0.24, "EUR")
    assert "money saved, GBP" in used.text("--cache-hits", "--set", "log.token_price=2")


def test_accuracy_comes_from_the_cache_of_the_home_and_says_where_there_is_no_bound(used):
    from tests.cache.cache_stage import SCOPE, approved
    from tests.cli.test_cache_manager import Home as CacheHome

    CacheHome.fill(_WithLog(used.path), ("what is the fee", approved("Two pounds."), SCOPE))
    (public,) = [one for one in used.json("--cache-hits")["accuracy"]["classes"] if one["class"] == "public"]
    assert (public["checked"], public["certified_bound"], public["state"]) == (0, None, "live")
    text = used.text("--cache-hits")
    assert "no bound" in text
    assert "not calibrated" in text


class _WithLog:
    def __init__(self, path):
        self.path, self.log = path, path / "cache" / "log.sqlite"


def test_ranges_choose_the_turns(used):
    assert used.json("--cache-hits", "--since", "11d", "--until", "9d")["misses"] == 1
    assert used.json("--cache-hits", "--since", "2w")["turns"] == 6
    assert used.json("--throughput", "--since", "1h")["turns"] == 5


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("1d", "2d", "backwards"),
        ("2026-11-01", "2026-11-01", "empty"),
        ("0h", None, "empty"),
        ("yesterday", None, "'yesterday' is no moment"),
        ("2026-02-30", None, "'2026-02-30' is no moment"),
        ("7y", None, "wanted an age"),
        ("99999999d", None, "is no moment"),
        ("", None, "is no moment"),
    ],
)
def test_a_bad_range_is_one_line_and_exit_code_2(used, since, until, said):
    code, out, err = used.run("--cache-hits", "--since", since, *(["--until", until] if until else []))
    assert code == 2
    assert said in err
    assert out == ""


def test_no_turns_yet_says_so_and_is_no_failure(home):
    for form in ("--cache-hits", "--adapter-impact", "--throughput"):
        code, out, _ = home.run(form)
        assert (code, out) == (0, "no turns are logged yet\n")
    assert home.json("--cache-hits")["hit_rate"] is None
    assert home.json("--throughput")["turns_per_s"] is None


def test_a_turn_that_nobody_logged_is_a_mistake_and_prints_nothing(home):
    code, out, err = home.run("--turn=abc", "--json")
    assert (code, out, err) == (2, "", "orchestrator-log: no turns are logged yet\n")


def test_an_empty_range_of_a_log_says_where_turns_are(used):
    assert "no turns in this range; the log has some from" in used.text(
        "--cache-hits", "--since", "9d", "--until", "8d"
    )


def test_a_log_from_a_newer_version_is_exit_code_1_and_says_what_to_do(used):
    connection = sqlite3.connect(used.log)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    code, out, err = used.run("--cache-hits")
    assert (code, out) == (1, "")
    assert "format 9" in err
    assert "install the newer Teller" in err


def test_adapters_are_shown_by_version_with_toggles_on_the_time_line(used):
    from dataclasses import replace

    write(used.log, replace(ENABLED, at=NOW))
    view = used.json("--adapter-impact")
    old, new = view["adapters"]
    assert (old["grounded_share"], old["grounding_failures"], old["tokens_per_s"]) == (1.0, 0, 80.0)
    assert (new["grounded_share"], new["grounding_failures"]) == (0.0, 1)
    assert view["toggles"][0]["toggle"] == "enable"
    text = used.text("--adapter-impact")
    assert "·E" in text
    assert "released" in text


def test_throughput_tells_load_and_waiting_times(used):
    view = used.json("--throughput")
    assert view["concurrency"]["most"] == 5
    assert view["latency_ms"]["model"]["generate"]["p50"] == pytest.approx(500, rel=0.01)
    assert view["busiest_minute_turns_per_s"] > 0
    assert "whole turn" in used.text("--throughput")


def test_a_turn_is_shown_whole(used):
    text = used.text("--turn", "turn-2")
    for part in (
        "given again from the cache, semantic tier",
        "11 of 12 neighbours",
        "guard values",
        "█",
        "how do I freeze",
    ):
        assert part in text
    view = used.json("--turn", "turn-5")
    assert view["question"] == "how do I freeze my card"
    assert view["grounded"] is False
    assert view["timings_ms"]["generate"] == pytest.approx(500)
    assert "the cache had nothing (uncertain, nearest at 0.500)" in view["why"]


def test_an_unknown_turn_is_exit_code_2(used):
    code, _, err = used.run("--turn", "zzz")
    assert code == 2
    assert "no turn in the log" in err


def test_letters_that_a_terminal_would_obey_are_not_printed(home):
    write(home.log, recent(composed, 1, answer=Answer("\x1b[2Jgone", Source.MODEL, "a")))
    assert "\x1b" not in home.text("--turn", "turn-1")


def test_csv_holds_every_turn_and_no_formula(home):
    write(home.log, recent(composed, 1, question=Question("=HYPERLINK(1)")), recent(hit, 2))
    first, second = csv.DictReader(io.StringIO(home.text("--export", "csv")))
    assert first["question"] == "'=HYPERLINK(1)"
    assert (second["cache"], second["source"], second["generate_ms"]) == ("semantic", "cache", "")
    assert json.loads(second["details"])["evidence"]["entry_id"] == 7


def test_json_is_one_array(used, tmp_path):
    rows = json.loads(used.text("--export", "json", "--since", "30d"))
    assert [row["turn_id"] for row in rows] == [f"turn-{number}" for number in range(6)]
    assert json.loads(used.text("--export", "json", "--since", "5d", "--until", "4d")) == []
    file = tmp_path / "turns.json"
    assert "5 turns written" in used.text("--export", "json", "--out", file)
    assert len(json.loads(file.read_text())) == 5
    assert file.stat().st_mode & 0o777 == 0o600


def test_parquet_has_types(used, tmp_path):
    import pyarrow.parquet as parquet

    file = tmp_path / "turns.parquet"
    assert used.json("--export", "parquet", "--out", file)["exported"] == 5
    table = parquet.read_table(file)
    assert str(table.schema.field("grounded").type) == "bool"
    assert table.column("generate_ms").to_pylist()[0] is None
    assert table.column("answer_ms").to_pylist()[3] == pytest.approx(510, abs=0.1)


def test_an_export_never_replaces_a_file_nor_leaves_half_a_one(used, tmp_path):
    file = tmp_path / "there.csv"
    file.write_text("mine")
    code, _, err = used.run("--export", "csv", "--out", file)
    assert (code, file.read_text()) == (2, "mine")
    assert "is there already" in err
    assert used.run("--export", "csv", "--out", tmp_path / "no" / "folder.csv")[0] == 2
    assert used.run("--export", "parquet")[0] == 2
    assert used.run("--export", "xml")[0] == 2
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["there.csv"]


def test_following_shows_turns_as_they_come(used):
    command = [sys.executable, "-m", "teller.cli.orchestrator_log", "--home", str(used.path), "--follow", "--count=2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "answered in" in process.stdout.readline()
        write(used.log, recent(hit, 8), recent(composed, 9))
        first, second = process.stdout.readlines()
    assert process.returncode == 0
    assert "turn-8" in first
    assert "semantic" in first
    assert "too_far" in second


def test_a_call_can_be_erased(used):
    assert used.json("--erase-call", "call-2") == {"erased": 2, "call": "call-2"}
    assert used.json("--cache-hits", "--since", "30d")["turns"] == 4
    assert "no turn of such a call" in used.text("--erase-call", "call-2")
    assert used.run("--erase-call", " ")[0] == 2


def test_lost_records_are_owned_up_to(used):
    connection = sqlite3.connect(used.log)
    connection.execute("INSERT INTO shed (at, records) VALUES (?, 12)", (NOW,))
    connection.commit()
    connection.close()
    assert used.json("--cache-hits")["shed"] == 12
    assert "12 records were lost" in used.text("--cache-hits")


def test_a_turn_that_was_interrupted_says_when(home):
    nothing = Answer("", Source.BROKEN_OFF, "")
    spoken_over, unanswered = recent(hit, 1), recent(composed, 2)
    write(
        home.log,
        replace(spoken_over, interrupted=True, spoken_s=1.25),
        replace(unanswered, interrupted=True, answer=nothing),
    )
    assert "1.2 s of sound, then it was interrupted" in home.text("--turn", "turn-1")
    assert "broken off before there was one" in home.text("--turn", "turn-2")
    assert home.json("--turn", "turn-2")["details"]["interrupted"] is True


def test_lookups_that_were_cut_off_are_told(home):
    write(home.log, lookup_of(recent(hit, 1)))
    view = home.json("--cache-hits")
    assert (view["turns"], view["unfinished_turns"], view["hits"]) == (0, 1, 1)
    assert "100.00%" in home.text("--cache-hits")
    assert "turns that were cut off" in home.text("--cache-hits")


def test_one_thing_at_a_time_and_options_where_they_belong(used):
    assert used.run("--cache-hits", "--throughput")[0] == 2
    assert used.run("--cache-hits", "--out", "x")[0] == 2
    assert used.run("--cache-hits", "--count", "3")[0] == 2
    assert used.run("--cache-hits", "--set", "log.keep_days=0")[0] == 2


def test_help_has_examples(home):
    for args in ((), ("--help",)):
        assert "orchestrator-log --cache-hits --since 1h --json" in home.text(*args)


@pytest.mark.usefixtures("used")
def test_the_cache_managers_numbers_have_the_misses_of_the_log(monkeypatch, capsys):
    from teller.cli import cache_manager

    monkeypatch.setattr(sys, "argv", ["cache-manager", "stats", "--json"])
    with pytest.raises(SystemExit) as ended:
        cache_manager.main()
    assert not ended.value.code
    view = json.loads(capsys.readouterr().out)
    assert (view["misses"], view["hit_rate"]) == (3, 0.5)


def test_moments_are_read_as_people_write_them():
    now = 1_795_000_000.0
    assert span_of("90m", None, now) == Span(now - 5_400, now)
    assert span_of("1.5h", "30s", now) == Span(now - 5_400, now - 30)
    assert span_of("2026-11-01T00:00+00:00", "2026-11-02T00:00Z", now).length_s == 86_400


def test_a_sparkline_has_a_character_for_each_value():
    assert sparkline([0, 5, None, 10]) in ("▁▄ █", ".~ #")
    assert sparkline([]) == ""
    assert sparkline([0, 0]) in ("▁▁", "..")


def test_spans_of_time_are_readable():
    assert [duration(seconds) for seconds in (0.5, 90, 7_300, -400, 300_000)] == [
        "0.5 s",
        "90.0 s",
        "2.0 h",
        "-6.7 min",
        "3.5 d",
    ]


def test_a_toggle_at_the_end_of_a_range_is_still_on_the_line():
    assert marks([{"at": 99.99, "toggle": ENABLED.toggle}], Span(0, 100), 10) == "·" * 9 + "E"
