import contextlib
import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training.tiny_chats import chat, write_jsonl

from teller.errors import InputError
from teller.training.chat_data import MAX_LINE_BYTES, ChatFile, Problems


def read(path: Path) -> list[tuple[str, list[tuple[str, str]]]]:
    problems = Problems()
    found = list(ChatFile(path).conversations(problems))
    problems.check()
    return [(each.place, [(message.role, message.content) for message in each.messages]) for each in found]


def written(tmp_path: Path, data: bytes, name: str = "data.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_jsonl_and_csv_give_the_same_conversations(tmp_path):
    jsonl = write_jsonl(tmp_path / "a.jsonl", [chat("Where is it?", 'In "A",\nor B.'), chat("And that?", "There.")])
    csv = written(
        tmp_path, b'id,Question,answer\r\n1,Where is it?,"In ""A"",\nor B."\r\n\r\n2,And that?,There.\r\n', "b.csv"
    )

    assert [messages for _, messages in read(jsonl)] == [messages for _, messages in read(csv)]


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(chat("a", "b")).encode() + b"\n\n  \n")

    assert [place for place, _ in read(path)] == ["data.jsonl:1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"messages": [', "not JSON"),
        (b"[1]", 'an object with "messages"'),
        (b'{"messages": []}', "empty"),
        (b'{"messages": [{"content": "a"}]}', "no role"),
        (b'{"messages": [{"role": "bot", "content": "a"}]}', "a role that is not"),
        (b'{"messages": [{"role": "user", "content": " "}]}', "content that is no text"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "no assistant's turn"),
        (b'{"messages": [{"role": "assistant", "content": "a"}]}', "turns in the order"),
        (b'{"messages": [{"role": "user", "content": "a", "name": "x"}]}', "keys that are not known: name"),
        (b'{"messages": "\xff"}', "not UTF-8 at byte 14"),
        (b" " * (MAX_LINE_BYTES + 5), "a line of more than"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(tmp_path, line, reason):
    good = json.dumps(chat("a", "b")).encode()

    with pytest.raises(InputError, match=r"1 bad lines:\n  data.jsonl:2: ") as caught:
        read(written(tmp_path, good + b"\n" + line + b"\n" + good + b"\n"))

    assert reason in str(caught.value)


def test_every_bad_line_is_named_up_to_fifty(tmp_path):
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, b"{}\n" * 60))

    assert "data.jsonl:50:" in str(caught.value)
    assert "data.jsonl:51:" not in str(caught.value)
    assert "60 bad lines" in str(caught.value)
    assert "and 10 more" in str(caught.value)


@pytest.mark.parametrize(("name", "data"), [("a.jsonl", b""), ("a.jsonl", b"\n\n"), ("a.csv", b"question,answer\n")])
def test_data_without_a_conversation_is_refused(tmp_path, name, data):
    with pytest.raises(InputError, match="holds no conversation"):
        read(written(tmp_path, data, name))


def test_csv_without_its_columns_is_refused(tmp_path):
    with pytest.raises(InputError, match="columns question and answer"):
        read(written(tmp_path, b"prompt,reply\na,b\n", "a.csv"))


def test_a_csv_row_that_is_too_short_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a.csv:3: 1 fields"):
        read(written(tmp_path, b"question,answer\na,b\nc\n", "a.csv"))


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="wanted a file of conversations"):
        read(tmp_path / "weights.bin")


def test_a_file_is_never_held_whole(tmp_path):
    line = json.dumps(chat("Where is my card? " * 100, "Here. " * 200)) + "\n"
    path = written(tmp_path, line.encode() * 4_000)
    assert path.stat().st_size > 10 << 20

    tracemalloc.start()
    count = sum(1 for _ in ChatFile(path).conversations(Problems()))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 4_000
    assert most < 3 << 20


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b'{"messages": [{"role": "user"', b'"a,b', b"]}"])),
    st.booleans(),
)
def test_whatever_a_file_holds_the_error_is_ours(lines, is_csv):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.csv" if is_csv else "a.jsonl")
        path.write_bytes((b"question,answer\n" if is_csv else b"") + b"\n".join(lines))
        with contextlib.suppress(InputError):
            read(path)
