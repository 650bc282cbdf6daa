import numpy as np
import pytest
from tests.cache.cache_stage import approved, money

from teller.cache.arena import Arena
from teller.cache.entries import Entries, State
from teller.cache.events import Put
from teller.errors import InputError, StoreCorrupt
from teller.turn import Citation, DataClass, Question

PARTITION = bytes(16)


def put(text: str = "what is the fee", answer=None, **changed) -> Put:
    return Put(PARTITION, Question(text), np.ones(4, dtype=np.float32), answer or approved(), 1e9, **changed)


def add(entries: Entries, entry_id: int, put: Put, partition: int = 0, at: float = 0.0) -> int:
    return entries.add(entry_id, put.record(), partition, at)


def filled(count: int = 50) -> Entries:
    entries = Entries()
    for at in range(count):
        answer = approved(f"answer {at % 7}", f"id.{at % 7}", stamps=(f"rate:{at % 3}@1",))
        add(entries, 10 + at, put(f"question {at}", answer, sketch=bytes([at % 250])), at % 2, float(at))
    return entries


def contents(entries: Entries) -> list:
    rows = entries.where(np.ones(entries.rows, dtype=bool)).tolist()
    columns = ("id", "at", "expires_at", "right", "partition")
    return [(entries.text(row), entries.answer(row), *(entries.column(n)[row].item() for n in columns)) for row in rows]


def test_an_entry_comes_back_as_it_was_put():
    entries = Entries()
    asked = money("10.00 GBP", "nul \0 and \ud800 surrogate")
    answer = approved(
        "text \0", "id \0", stamps=("a", "b"), citations=(Citation("i", "t", "v"),), data_class=DataClass.PRODUCT
    )
    row = add(entries, 7, Put(PARTITION, asked, np.ones(4, dtype=np.float32), answer, 5.0, sketch=b"\0\xff"), 3, 2.0)
    text = entries.text(row)
    assert (text.question, text.values, text.sketch) == (asked.text, asked.values, b"\0\xff")
    assert entries.answer(row) == answer
    assert entries.answer_ids(np.array([row])) == ["id \0"]


def test_an_answer_that_many_share_is_held_once():
    one, many = Entries(), Entries()
    long = approved("x" * 5_000)
    add(one, 1, put("q", long))
    for at in range(100):
        add(many, at, put(f"q {at}", long))
    assert many.nbytes < one.nbytes + 100 * 300


def test_removed_entries_are_found_no_more_and_their_texts_are_wiped():
    entries = filled()
    rows = entries.rows_of(np.array([11, 13, 999, 12]))
    assert entries.column("id")[rows].tolist() == [11, 13, 12]
    entries.remove(rows, State.STALE)
    assert len(entries) == 47
    assert len(entries.rows_of(np.array([11, 13]))) == 0
    assert entries.row_of(12) == -1
    assert b"question 3\x01" not in entries.dump()["texts"].tobytes()


def test_the_exact_tier_says_what_became_of_a_removed_entry():
    entries = filled()
    asked = Question("question 4")
    row = entries.exact(PARTITION, 0, asked, "question 4")
    assert entries.text(row).question == "question 4"
    assert entries.exact(PARTITION, 1, asked, "question 4") == -1
    entries.remove(np.array([row]), State.STALE)
    assert entries.column("state")[entries.exact(PARTITION, 0, asked, "question 4")] == State.STALE


def test_two_texts_with_one_key_are_told_apart(monkeypatch):
    for module in ("entries", "events"):
        monkeypatch.setattr(f"teller.cache.{module}.exact_key", lambda *_: 5)
    entries = Entries()
    add(entries, 1, put("one"))
    add(entries, 2, put("other"))
    assert entries.exact(PARTITION, 0, Question("one"), "one") == -1
    assert entries.exact(PARTITION, 0, Question("other"), "other") == 1


def test_two_answers_with_one_fingerprint_are_told_apart(monkeypatch):
    monkeypatch.setattr("teller.cache.entries._fingerprint", lambda *_: 5)
    entries = Entries()
    first = add(entries, 1, put("one", approved("first")))
    second = add(entries, 2, put("other", approved("second")))
    assert (entries.answer(first).text, entries.answer(second).text) == ("first", "second")


def test_squeezing_changes_nothing_that_can_be_seen():
    entries = filled()
    entries.remove(entries.where(entries.column("id") % 3 == 0), State.GONE)
    before = contents(entries)
    entries.squeeze()
    assert contents(entries) == before
    assert entries.rows == len(entries) == len(before)
    row = add(entries, 99, put("question 98", approved("answer 1", "id.1", stamps=("rate:1@1",))))
    assert entries.answer(row).text == "answer 1"
    places = entries.answers_with("id.1")
    assert entries.column("answer")[row] in places
    assert {entries.answer(at).answer_id for at in np.flatnonzero(np.isin(entries.column("answer"), places))} == {
        "id.1"
    }


def test_stamps_are_found():
    entries = filled(9)
    rows = entries.stamped("rate:1@1".__eq__)
    assert entries.column("id")[rows].tolist() == [11, 14, 17]


def test_a_dump_comes_back_whole():
    entries = filled(3_000)
    entries.remove(entries.where(entries.column("id") % 5 == 0), State.GONE)
    again = Entries()
    again.load(entries.dump())
    assert contents(again) == contents(entries)
    assert again.nbytes == pytest.approx(entries.nbytes, rel=0.05)
    add(again, 9_999, put("new"))
    assert again.text(again.row_of(9_999)).question == "new"
    assert again.exact(PARTITION, 1, Question("question 7"), "question 7") >= 0


@pytest.mark.parametrize("damage", ["gone", "short", "places", "json"])
def test_a_dump_that_does_not_hold_together_is_refused(damage):
    arrays = filled().dump()
    if damage == "gone":
        del arrays["column_key"]
    elif damage == "short":
        arrays["column_at"] = arrays["column_at"][:-1]
    elif damage == "places":
        arrays["column_text"] = arrays["column_text"] + 10_000_000
    else:
        arrays["manners"] = np.frombuffer(b"{", dtype=np.uint8)
    with pytest.raises(StoreCorrupt):
        Entries().load(arrays)


def test_an_arena_keeps_records_of_every_size_and_wipes_what_is_dropped():
    arena = Arena()
    sizes = [0, 1, 500_000, 700_000, 3, 1_048_573]
    places = [arena.put(bytes([at]) * size) for at, size in enumerate(sizes)]
    assert [len(arena.get(place)) for place in places] == sizes
    arena.drop(places[2])
    assert bytes([2]) * 10 not in arena.dump().tobytes()
    assert arena.live_bytes == sum(sizes) - sizes[2] + 3 * 5
    again = Arena.load(arena.dump(), arena.live_bytes)
    assert again.get(places[5]) == bytes([5]) * sizes[5]
    with pytest.raises(InputError, match="too long"):
        arena.put(bytes(1_048_574))
