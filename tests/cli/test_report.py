"""`teller report` on real homes: the page, its tables, the pictures, the JSON, and what is missing or in the way."""

import html
import json
import re
import sys
import time

import pytest
from tests.stores.turn_stage import composed, hit, write

from teller.cli.teller import main
from teller.reports import plots
from teller.reports.page import html_page
from teller.turn import Answer, MissReason, Question, Source, Toggle, ToggleRecord

NOW = time.time() - 60


class Home:
    """A home and the command line on it."""

    def __init__(self, path, monkeypatch, capsys):
        self.path, self._monkeypatch, self._capsys = path, monkeypatch, capsys
        self.log = path / "home" / "log" / "turns.sqlite"
        monkeypatch.setenv("TELLER_HOME", str(path / "home"))
        monkeypatch.chdir(path)

    def run(self, *args):
        """Exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["teller", "report", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return ended.value.code or 0, out, err

    def page(self, *args):
        code, _, err = self.run(*args)
        assert code == 0, err
        return (self.path / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    return Home(tmp_path, monkeypatch, capsys)


def recent(make, number, **changes):
    return make(number, started_at=NOW + number / 100, **changes)


def bitcoin(number, text):
    unknown = Answer("I do not know.", Source.REFUSED, "policy.not_covered", reason="not_covered")
    return recent(composed, number, question=Question(text), answer=unknown, grounded=None)


@pytest.fixture
def used(home):
    """A home with three hits and two misses of today, whose words are not kept: nothing needs to be embedded."""
    write(
        home.log,
        recent(hit, 1),
        recent(hit, 2),
        recent(hit, 3),
        recent(composed, 4, miss_reason=MissReason.UNCERTAIN),
        bitcoin(5, "do you sell bitcoin?"),
        ToggleRecord(NOW, Toggle.ENABLE, None, "lora@1", "ann", "</table><script>alert(1)</script>"),
        keep_text=False,
    )
    return home


def rows_under(page, first_header):
    """The rows of the table whose first column has this name, as texts."""
    for table in re.findall(r"<table>(.*?)</table>", page, re.S):
        head, *rows = [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in re.findall(r"<tr>.*?</tr>", table, re.S)
        ]
        if head[0] == first_header:
            return [[html.unescape(cell) for cell in row] for row in rows]
    return []


def test_the_pages_tables_have_the_numbers_of_the_json(used):
    page = used.page()
    code, out, _ = used.run("--json")
    view = json.loads(out)
    assert code == 0
    assert (view["turns"], view["cache"]["hits"], view["cache"]["misses"]) == (5, 3, 2)
    assert rows_under(page, "class")[0] == ["public", "3", "2", "60.00 %", "0", "3"]
    assert rows_under(page, "reason") == [["too far", "1", "50.00 %"], ["uncertain", "1", "50.00 %"]]
    assert [row[:2] for row in rows_under(page, "source")] == [["cache", "3"], ["model", "1"], ["refused", "1"]]
    assert rows_under(page, "asked") == view["missed"] == []
    assert rows_under(page, "at")[0][-1] == "</table><script>alert(1)</script>"


def test_numbers_stand_to_the_right_and_words_to_the_left(used):
    page = used.page()
    assert '<th scope="col">class</th><th scope="col" class=number>hits</th>' in page
    assert '<th scope="col">at</th>' in page
    assert page.count("<td class=number>60.00 %</td>") >= 1


def test_the_page_stands_alone_and_runs_nothing(used):
    page = used.page()
    assert "<script" not in page
    assert not re.search(r"(?:src|srcset|href)=\"(?!data:)", page)
    assert "default-src 'none'" in page
    assert page.count("data:image/png;base64,") == 2 * 5  # for light and for dark: this home has no cache to show


def test_pictures_are_written_as_files(used):
    code, _, err = used.run("--png", "pictures", "--json")
    assert code == 0, err
    names = {path.name for path in (used.path / "pictures").iterdir()}
    assert names == {f"teller-{name}.png" for name in ("hit-rate", "similarity", "latency", "savings", "adapters")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (used.path / "pictures").iterdir())


def test_without_turns_the_page_says_so(home):
    assert "No turn is logged yet." in home.page()


def test_a_range_without_turns_says_where_there_are_some(used):
    assert "none is in this range" in used.page("--since", "2026-01-01", "--until", "2026-01-02")


def test_a_range_that_runs_backwards_is_refused(home):
    code, _, err = home.run("--since", "2026-02-01", "--until", "2026-01-01")
    assert code == 2
    assert "backwards" in err


def test_an_older_report_is_replaced_and_any_other_file_is_left_alone(used):
    used.page()
    used.page()
    (used.path / "notes.html").write_text("my notes")
    code, _, err = used.run("--out", "notes.html")
    assert code == 2
    assert "no report" in err
    assert (used.path / "notes.html").read_text() == "my notes"


def test_a_folder_that_is_not_there_is_an_error_in_words(used):
    code, _, err = used.run("--out", "nowhere/report.html")
    assert code != 0
    assert "cannot be written" in err


def test_without_matplotlib_the_extra_is_named(used, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = used.run()
    assert code != 0
    assert "teller[plots]" in err


def test_another_programs_database_is_refused(home):
    home.log.parent.mkdir(parents=True)
    home.log.write_bytes(b"not a database at all, whatever its name says" * 50)
    code, _, err = home.run()
    assert code != 0
    assert "turns.sqlite" in err


def test_bounds_and_entries_of_a_cache_are_drawn_and_listed(used):
    _, out, _ = used.run("--json")
    view = json.loads(out)
    public = {"class": "public", "state": "certified", "min_probability": 0.98, "certified_bound": 0.0081}
    closed = {"class": "product", "state": "closed", "min_probability": None, "certified_bound": None}
    about = {"bound_of_checked_hits": None, "checked": 0, "wrong": 0, "why": ""}
    entry = {"id": 4, "class": "public", "state": "live", "hits": 9, "accuracy": 0.9, "answer_id": "a"}
    view |= {"trust": [closed | about, public | about], "entries": [entry | {"question": "日本 $x$ \\frac <i>"}]}
    page = html_page(view)
    assert rows_under(page[page.index('id="bounds"') :], "class")[1][:4] == ["public", "certified", "0.9800", "0.81 %"]
    assert rows_under(page, "entry")[0][-1] == "日本 $x$ \\frac <i>"
    assert set(plots.PICTURES) <= set(re.findall(r'<section id="([\w-]+)"', page))


@pytest.mark.engine
def test_missed_questions_of_one_meaning_stand_together(home):
    write(
        home.log,
        *(bitcoin(number, "do you sell <b>bitcoin</b>?") for number in range(2)),
        bitcoin(2, "do you sell bitcoins"),
    )
    ((asked, questions, wordings, *_, advice),) = rows_under(home.page(), "asked")
    assert (asked, wordings) == ("3", "2")
    assert questions == "do you sell <b>bitcoin</b>? · do you sell bitcoins"
    assert "add an approved answer" in advice
