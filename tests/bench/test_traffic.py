"""Traffic files, and streams that are made up."""

from collections import Counter
from pathlib import Path

import pytest

from teller.bench.traffic import Ask, read_traffic, zipf_traffic
from teller.errors import InputError

POOL = [(f"way {way} of asking {subject}", f"answer.{subject}") for subject in range(30) for way in range(4)]


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "calls.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_what_a_line_leaves_out_is_filled_in(tmp_path):
    path = write(
        tmp_path, '{"question": "hello"}\n\n{"question": "fees?", "caller": "ann", "at": 2.5, "label": "fees"}\n'
    )

    assert list(read_traffic(path)) == [Ask("hello", "caller-1"), Ask("fees?", "ann", 2.5, "fees")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken", r"calls\.jsonl:2: not JSON"),
        (b"\xff\xfe", r"calls\.jsonl:2: not JSON in UTF-8"),
        ("[1]", r"calls\.jsonl:2: an object"),
        ('{"caller": "ann"}', r"calls\.jsonl:2: 'question' is missing"),
        ('{"question": "  "}', r"calls\.jsonl:2: 'question' is missing or empty"),
        ('{"question": "a", "when": 3}', r"calls\.jsonl:2: there is no field 'when'"),
        ('{"question": "a", "at": -1}', r"calls\.jsonl:2: 'at' is a number"),
        ('{"question": "a", "at": NaN}', r"calls\.jsonl:2: 'at' is a number"),
        ('{"question": "a", "at": 1}', r"calls\.jsonl:2: 'at' goes back from 5 to 1"),
        ('{"question": "a", "caller": ""}', r"calls\.jsonl:2: 'caller' and 'label'"),
        ('{"question": "' + "a" * 100_000 + '"}', r"calls\.jsonl:2: the line is longer"),
    ],
)
def test_a_broken_line_is_named_with_what_is_wrong(tmp_path, line, said):
    first = b'{"question": "hello", "at": 5}\n'
    path = write(tmp_path, first + (line if isinstance(line, bytes) else line.encode()) + b"\n")

    with pytest.raises(InputError, match=said):
        list(read_traffic(path))


def test_an_empty_or_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no question in it"):
        list(read_traffic(write(tmp_path, "\n")))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_traffic(tmp_path / "none.jsonl"))


def test_one_seed_gives_one_stream_and_another_gives_another():
    assert zipf_traffic(POOL, 200, seed=1) == zipf_traffic(POOL, 200, seed=1)
    assert zipf_traffic(POOL, 200, seed=1) != zipf_traffic(POOL, 200, seed=2)


def test_subjects_are_as_common_as_zipf_says_and_asked_in_all_their_ways():
    stream = zipf_traffic(POOL, 20_000, exponent=1.0, seed=3)

    counts = [count for _, count in Counter(ask.label for ask in stream).most_common()]
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.1)
    assert counts[0] / counts[3] == pytest.approx(4, rel=0.15)
    common = Counter(ask.label for ask in stream).most_common(1)[0][0]
    assert len({ask.question for ask in stream if ask.label == common}) == 4


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"callers": 0}, {"exponent": -1.0}])
def test_a_stream_of_nothing_is_refused(wrong):
    with pytest.raises(InputError, match="at least 1 turn"):
        zipf_traffic(POOL, **{"turns": 5, **wrong})
    with pytest.raises(InputError, match="needs questions"):
        zipf_traffic([], 5)
