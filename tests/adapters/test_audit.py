import errno
import fcntl
import json
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teller.adapters import audit
from teller.adapters.audit import MAX_LINE_BYTES, AuditLog
from teller.errors import BusyError, InputError, StoreCorrupt, StoreError
from teller.stores.signing import Ed25519Signer

WHO = {"who": "anna", "why": "INC-4711"}


def _filled(path, count=6, signer=None):
    log = AuditLog(path, signer)
    records = [log.append("enable", WHO | {"n": n}, at=float(n)) for n in range(count)]
    return log, records


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bytes of a log of six records and of its head, to be spoiled."""
    path = tmp_path_factory.mktemp("written") / "audit.jsonl"
    _filled(path)
    return path.read_bytes(), path.with_name("audit.jsonl.head").read_bytes()


def _spoiled(folder, content, head):
    path = folder / "audit.jsonl"
    path.write_bytes(content)
    if head is not None:
        path.with_name("audit.jsonl.head").write_bytes(head)
    return AuditLog(path)


def test_records_are_read_as_they_were_written(tmp_path):
    log, records = _filled(tmp_path / "adapters" / "audit.jsonl")
    assert log.read() == tuple(records)
    assert [record.seq for record in records] == [1, 2, 3, 4, 5, 6]
    assert records[2].body == WHO | {"n": 2}
    assert (records[2].kind, records[2].at) == ("enable", 2.0)
    assert log.verify() == 6
    assert records[-1].position == log.head()


def test_each_line_is_json_and_holds_the_hash_of_the_one_before(tmp_path):
    _filled(tmp_path / "audit.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert lines[0]["prev"] == "0" * 64
    assert all(after["prev"] == before["hash"] for before, after in pairwise(lines))


def test_a_log_that_is_not_there_is_empty_and_asking_makes_no_file(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    assert (log.head(), log.read(), log.verify()) == (0, (), 0)
    assert list(tmp_path.iterdir()) == []


def test_reading_goes_on_where_it_left_off(tmp_path):
    log, records = _filled(tmp_path / "audit.jsonl")
    assert log.read(records[3].position) == tuple(records[4:])
    assert log.read(log.head()) == ()
    new = log.append("disable", {}, at=9.0)
    assert AuditLog(tmp_path / "audit.jsonl").read(records[-1].position) == (new,)


def test_a_record_is_added_only_if_nobody_was_faster(tmp_path):
    log, records = _filled(tmp_path / "audit.jsonl", 2)
    with pytest.raises(BusyError):
        log.append("enable", WHO, at=3.0, only_at=records[0].position)
    assert log.read() == tuple(records)
    log.append("enable", WHO, at=3.0, only_at=records[1].position)
    with pytest.raises(BusyError):
        AuditLog(tmp_path / "audit.jsonl").append("enable", WHO, at=3.0, only_at=0)


def test_many_writers_make_one_chain(tmp_path):
    path = tmp_path / "audit.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: AuditLog(path).append("enable", {"n": n}, at=0.0), range(40)))
    assert AuditLog(path).verify() == 40
    assert sorted(record.body["n"] for record in AuditLog(path).read()) == list(range(40))


@pytest.mark.parametrize("line", range(6))
def test_any_changed_byte_is_found_and_its_line_named(tmp_path, written, line):
    content, head = written
    lines = content.splitlines(keepends=True)
    start, length = sum(map(len, lines[:line])), len(lines[line])
    for at in range(start, start + length):
        spoiled = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        log = _spoiled(tmp_path, spoiled, head)
        with pytest.raises(StoreCorrupt, match=f"line {line + 1}: "):
            log.verify()


def test_a_changed_record_is_not_read(tmp_path, written):
    log = _spoiled(tmp_path, written[0].replace(b'"n":3', b'"n":4'), written[1])
    with pytest.raises(StoreCorrupt, match="line 4: it was changed"):
        log.read()


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ([0, 1, 3, 4, 5], "line 3: record 4 stands where 3 should: records were removed or moved"),
        ([1, 2, 3, 4, 5], "line 1: record 2 stands where 1 should"),
        ([0, 1, 2, 3, 4], "line 6: missing: records 6 to 6 were removed at the end"),
        ([0, 1], "line 3: missing: records 3 to 6 were removed at the end"),
        ([], "line 1: missing: records 1 to 6 were removed at the end"),
        ([0, 2, 1, 3, 4, 5], "line 2: record 3 stands where 2 should"),
        ([0, 1, 1, 2, 3, 4, 5], "line 3: record 2 stands where 3 should: it was moved here or put in"),
    ],
)
def test_removed_reordered_and_repeated_records_are_found_and_named(tmp_path, written, order, reason):
    lines = written[0].splitlines(keepends=True)
    log = _spoiled(tmp_path, b"".join(lines[n] for n in order), written[1])
    with pytest.raises(StoreCorrupt, match=reason):
        log.verify()


def test_a_record_of_another_log_that_is_put_in_is_found(tmp_path, written):
    _filled(tmp_path / "other" / "audit.jsonl", 3)
    other = (tmp_path / "other" / "audit.jsonl").read_bytes().splitlines(keepends=True)
    AuditLog(tmp_path / "third" / "audit.jsonl").append("disable", {}, at=1.0)
    third = AuditLog(tmp_path / "third" / "audit.jsonl")
    third.append("disable", {}, at=2.0)
    stranger = (tmp_path / "third" / "audit.jsonl").read_bytes().splitlines(keepends=True)[1]
    log = _spoiled(tmp_path, other[0] + stranger + other[2], None)
    with pytest.raises(StoreCorrupt, match="line 2: it does not follow from the line before"):
        log.verify()
    lines = written[0].splitlines(keepends=True)
    inserted = _spoiled(tmp_path, b"".join([*lines[:2], b'{"seq":3}\n', *lines[2:]]), written[1])
    with pytest.raises(StoreCorrupt, match="line 3: "):
        inserted.verify()


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 10_000))
def test_no_other_arrangement_of_the_lines_passes(tmp_path_factory, written, order, seed):
    lines = written[0].splitlines(keepends=True)
    if order == [0, 1, 2, 3, 4, 5]:
        random.Random(seed).shuffle(order)
    changed = b"".join(lines[n] for n in order)
    if changed == written[0]:
        return
    with pytest.raises(StoreCorrupt, match=r"line [1-9]"):
        _spoiled(tmp_path_factory.mktemp("log"), changed, written[1]).verify()


def test_a_chain_that_was_made_anew_is_found_by_its_head(tmp_path):
    log, _ = _filled(tmp_path / "audit.jsonl", 6)
    (tmp_path / "new").mkdir()
    forged = AuditLog(tmp_path / "new" / "audit.jsonl")
    for n in range(6):
        forged.append("enable", WHO | {"n": n, "who": "mallory"}, at=float(n))
    (tmp_path / "audit.jsonl").write_bytes((tmp_path / "new" / "audit.jsonl").read_bytes())
    with pytest.raises(StoreCorrupt, match="the log was made anew"):
        log.verify()


def test_a_chain_made_anew_with_its_head_needs_the_key(tmp_path):
    signer = Ed25519Signer(tmp_path / "keys")
    log, _ = _filled(tmp_path / "audit.jsonl", signer=signer)
    assert log.verify() == 6
    stranger = Ed25519Signer(tmp_path / "elsewhere")
    for other in (None, stranger):
        folder = tmp_path / f"forged-{other is None}"
        _filled(folder / "audit.jsonl", signer=other)
        with pytest.raises(StoreCorrupt, match="not signed by a key that is trusted here"):
            AuditLog(folder / "audit.jsonl", signer).verify()
        with pytest.raises(StoreCorrupt, match="not signed"):
            AuditLog(folder / "audit.jsonl", signer).append("enable", WHO, at=1.0)


def test_a_missing_or_damaged_head_is_found(tmp_path, written):
    log = _spoiled(tmp_path, written[0], None)
    with pytest.raises(StoreCorrupt, match=r"audit\.jsonl\.head: missing, beside a log of 6 records"):
        log.verify()
    for head in (b"", b"[]", b'{"seq":6}', b"\xff", written[1].replace(b'"seq":6', b'"seq":"x"')):
        log = _spoiled(tmp_path, written[0], head)
        with pytest.raises(StoreCorrupt, match=r"audit\.jsonl\.head: not what this log writes"):
            log.verify()


def test_nothing_is_added_to_a_log_that_lost_records(tmp_path, written):
    lines = written[0].splitlines(keepends=True)
    log = _spoiled(tmp_path, b"".join(lines[:4]), written[1])
    with pytest.raises(StoreCorrupt, match="records 5 to 6 were removed"):
        log.append("enable", WHO, at=1.0)
    with pytest.raises(StoreCorrupt, match="shorter than it was"):
        log.read(len(written[0]))


def test_a_last_record_without_its_end_is_kept_as_evidence(tmp_path, written):
    log = _spoiled(tmp_path, written[0][:-1] + b" ", written[1])
    with pytest.raises(StoreCorrupt, match="line 6: missing"):
        log.append("enable", WHO, at=1.0)
    assert log.head() == len(written[0])


def test_a_writer_that_was_stopped_does_not_hold_the_others_for_ever(tmp_path, monkeypatch):
    log, records = _filled(tmp_path / "audit.jsonl", 1)
    monkeypatch.setattr(audit, "_LOCK_S", 0.05)
    with (tmp_path / "audit.jsonl").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process has held it"):
            log.append("disable", WHO, at=2.0)
        assert log.read() == tuple(records)
    assert log.append("disable", WHO, at=2.0).seq == 2


def test_nothing_is_added_after_a_record_that_was_changed(tmp_path, written):
    log = _spoiled(tmp_path, written[0].replace(b'"n":5', b'"n":6'), written[1])
    with pytest.raises(StoreCorrupt, match="was changed"):
        log.append("enable", WHO, at=1.0)


@pytest.mark.parametrize("torn", [1, 5, 100])
def test_a_torn_last_line_is_passed_over_and_mended_by_the_next_record(tmp_path, written, torn):
    lines = written[0].splitlines(keepends=True)
    log = _spoiled(tmp_path, written[0] + lines[0][:torn], written[1])
    assert log.verify() == 6
    assert len(log.read()) == 6
    new = log.append("disable", {}, at=7.0)
    assert new.seq == 7
    assert log.verify() == 7
    assert new.position == log.head()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # newer Pythons warn of threads that BLAS began
@pytest.mark.parametrize("call", ["fsync", "pwrite", "rename", "replace", "ftruncate"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_kill_at_any_point_leaves_a_log_that_verifies_and_goes_on(tmp_path, call, nth):
    signer = Ed25519Signer(tmp_path / "keys")
    log, records = _filled(tmp_path / "audit.jsonl", 2, signer)
    child = os.fork()
    if not child:
        real, seen = getattr(os, call), []

        def deadly(*args, **kwargs):
            seen.append(args)
            if len(seen) == nth:
                if call == "pwrite":
                    real(args[0], args[1][:50], args[2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        try:
            setattr(os, call, deadly)
            log.append("disable", WHO, at=9.0)
            os._exit(0)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in {0, -signal.SIGKILL}
    count = log.verify()
    assert count in {2, 3}
    assert log.read()[:2] == tuple(records)
    assert log.append("enable", WHO, at=10.0).seq == count + 1
    assert log.verify() == count + 1


@pytest.mark.parametrize("call", ["open", "pwrite", "fsync", "replace", "ftruncate"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 2])
def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch, call, nth, count):
    log, records = _filled(tmp_path / "audit.jsonl", count)
    real, calls = getattr(os, call), []

    def full(*args, **kwargs):
        calls.append(args)
        if len(calls) >= nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        try:
            records.append(log.append("enable", WHO, at=3.0))
        except StoreError as exc:
            assert "No space left" in str(exc)  # noqa: PT017 - a later call may be one too many
        else:
            assert len(calls) < nth
    assert log.read() == tuple(records)
    assert log.verify() == len(records)
    assert log.append("enable", WHO, at=3.0).seq == len(records) + 1


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": object()}, {"x": "a" * MAX_LINE_BYTES}])
def test_what_cannot_be_a_record_is_refused_and_nothing_is_written(tmp_path, body):
    log, records = _filled(tmp_path / "audit.jsonl", 1)
    with pytest.raises(InputError):
        log.append("enable", body, at=1.0)
    assert log.read() == tuple(records)


def test_records_near_the_limit_are_read_and_followed(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    for n in range(4):
        log.append("enable", {"n": n, "why": "a" * (MAX_LINE_BYTES - 1000)}, at=0.0)
    assert log.verify() == 4
    assert [record.body["n"] for record in log.read(log.read()[1].position)] == [2, 3]


def test_a_line_without_end_is_refused_and_not_read_whole(tmp_path, written):
    log = _spoiled(tmp_path, written[0] + b"x" * (3 * MAX_LINE_BYTES), written[1])
    with pytest.raises(StoreCorrupt, match="longer than a record can be"):
        log.verify()
    with pytest.raises(StoreCorrupt, match="longer than a record can be"):
        log.append("enable", WHO, at=1.0)


def test_a_log_behind_a_link_is_not_used(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(StoreError, match="cannot be opened"):
        AuditLog(tmp_path / "audit.jsonl").append("enable", WHO, at=1.0)


plain = st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none() | st.lists(st.text()))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.text(), plain), max_size=4))
def test_any_plain_facts_survive(tmp_path_factory, facts):
    log = AuditLog(tmp_path_factory.mktemp("log") / "audit.jsonl")
    for kind, body in facts:
        log.append(kind, body, at=1.5)
    assert [(record.kind, record.body) for record in log.read()] == facts
    assert log.verify() == len(facts)


def test_a_folder_in_the_log_s_place_is_refused(tmp_path):
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(StoreError, match="cannot be opened: Is a directory"):
        AuditLog(tmp_path / "audit.jsonl").read()
