import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cache.cache_stage import approved, money

from teller.cache.events import (
    Kind,
    Put,
    Record,
    answer_out,
    body_of,
    pack_vector,
    quantize,
    unpack_vector,
    values_out,
    write,
)
from teller.errors import InputError, StoreCorrupt
from teller.ports import Event
from teller.turn import Citation, DataClass


def unit(*numbers: float) -> np.ndarray:
    vector = np.array(numbers, dtype=np.float32)
    return vector / np.linalg.norm(vector)


PUT = Put(
    bytes(range(16)),
    money("10.00 GBP", "zero\0and \ud800 surrogate"),
    unit(1, -2, 3),
    approved("text\0", stamps=("rate:a@1", "b"), citations=(Citation("i", "t", "v"),), data_class=DataClass.PRODUCT),
    expires_at=1e9 + 0.25,
    trusted=False,
    cost_ms=12.3,
    judge="j",
    sketch=b"\0\xff{",
)


BODY = PUT.event(0.0).body


def test_a_put_comes_back_as_it_was():
    again = Put.read(PUT.event(5.0))
    np.testing.assert_allclose(again.vector, PUT.vector, atol=0.01)
    for name in ("partition", "question", "answer", "expires_at", "trusted", "cost_ms", "judge", "sketch"):
        assert getattr(again, name) == getattr(PUT, name)


def test_a_put_of_an_older_log_is_read_and_is_the_same_record():
    head = {"p": PUT.partition.hex(), "q": PUT.question.text, "v": values_out(PUT.question.values)}
    head |= {"a": answer_out(PUT.answer), "x": PUT.expires_at, "t": False, "c": 12.3, "j": "j", "s": len(PUT.sketch)}
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    body = text.encode("utf-8", "surrogatepass") + b"\0" + PUT.sketch + pack_vector(PUT.vector)
    old, new = Record.read(Event(Kind.PUT, body, 0.0, 9)), Record.read(PUT.event(0.0))
    assert old._replace(vector=b"") == new._replace(vector=b"")
    assert old.vector[4:] == new.vector[4:]
    assert Put.read(Event(Kind.PUT, body, 0.0, 9)).answer == PUT.answer


def test_a_key_made_from_another_form_of_exact_texts_is_made_anew():
    record = PUT.record()
    body = record._replace(key=5).packed()
    assert Record.read(Event(Kind.PUT, body, 0.0)).key == 5
    other = bytes([body[0], body[1] + 1]) + body[2:]
    assert Record.read(Event(Kind.PUT, other, 0.0)).key == record.key


@given(st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_a_record_that_was_changed_is_read_or_refused_but_breaks_nothing(seed, cut):
    rng = np.random.default_rng(seed)
    body = bytearray(BODY[: len(BODY) - cut] if cut < len(BODY) else b"")
    for at in rng.integers(0, max(1, len(body)), 3).tolist() if body else []:
        body[at] = int(rng.integers(256))
    try:
        Put.read(Event(Kind.PUT, bytes(body), 0.0, 9))
    except StoreCorrupt as exc:
        assert "event 9" in str(exc)  # noqa: PT017


def test_a_put_is_small():
    vector = np.random.default_rng(0).standard_normal(384).astype(np.float32)
    put = Put(bytes(16), money("1 GBP", "what does it cost to pay abroad"), vector, approved("x" * 200), 0.0)
    assert len(put.event(0.0).body) < 900


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"{}",
        b"{}\0abc",
        b"[1]\0",
        b"\xff\xfe",
        PUT.event(0.0).body[:40],
        PUT.event(0.0).body.split(b"\0")[0],
    ],
)
def test_a_body_that_is_no_put_is_corrupt(body):
    with pytest.raises(StoreCorrupt, match="event 9"):
        Put.read(Event(Kind.PUT, body, 0.0, 9))


def test_an_event_without_vector_is_json():
    event = write(Kind.EVICT, 2.0, ids=[1, 2], why="room")
    assert body_of(event) == {"ids": [1, 2], "why": "room"}
    for broken in (b"", b"[1]", b"\xff", b"{"):
        with pytest.raises(StoreCorrupt):
            body_of(Event(Kind.EVICT, broken, 0.0, 3))


@given(st.integers(0, 2**32 - 1))
def test_packing_keeps_cosines_to_three_digits_and_repeats_itself(seed):
    rows = np.random.default_rng(seed).standard_normal((2, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kept = np.stack([unpack_vector(pack_vector(row)) for row in rows])
    assert kept[0] @ rows[0] > 0.9995
    assert kept[0] @ kept[1] == pytest.approx(rows[0] @ rows[1], abs=0.003)
    assert pack_vector(kept[0])[4:] == pack_vector(rows[0])[4:]


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_refused(bad):
    with pytest.raises(InputError, match="embedder"):
        quantize(np.full((1, 4), bad, dtype=np.float32))
