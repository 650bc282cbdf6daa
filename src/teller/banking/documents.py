"""Markdown documents as passages that can be spoken: at most PASSAGE_WORDS words that never cross a heading.

What is read aloud has no layout, so a list item ends in a full stop, a row of a table names its columns, lines that an
editor has wrapped are one sentence again, and a line that announces what follows ("Two things are needed:") is never
the last of a passage. Not here: which product a document is about (`document_names.py`), finding the passage
(`document_search.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

PASSAGE_WORDS = 70  # about 25 seconds of speech; longer answers are not listened to

_HEADING = re.compile(r"(#{1,6})\s+(.*?)[\s#]*")
_UNDERLINE = re.compile(r"=+|-{2,}")
_RULE = re.compile(r"[-=*_|:\s]+")
_ITEM = re.compile(r"^(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
_NUMBERING = re.compile(r"^(?:(?:\d+\.)+\d*|\d+\))\s+")
_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BREAK = re.compile(r"<(?:br|hr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|b|center|code|details|div|em|i|img|p|small|span|strong|sub|summary|sup|u)\b[^<>]*>", re.IGNORECASE
)
_IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
_LINK = re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])")
_LEAD = re.compile(r"^(\*\*|__)([^*]{1,80}?):?\1:?\s*(?:[-–—:]\s+)?(?=\S)")
_EMPHASIS = re.compile(r"\*{1,3}|`{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")
_UNFILLED = re.compile(r"\[[^\]]*\]|\{\{.*?\}\}")
_BOLD_LEAD = re.compile(r"(\*\*|__)[^*]+?(?::\1|\1:|\1\s+[-–—]\s)")
_BOLD_LINE = re.compile(r"(\*\*|__)[^*]+\1:?")
_GOES_ON = re.compile(r"(?:[.!?:;,]|\b(?:and|or))[\"')]*$")


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was written."""

    id: str
    title: str
    markdown: str


@dataclass(slots=True)
class _Section:
    """The headings that lead to a section, from the outermost in, and its spoken sentences."""

    headings: tuple[str, ...] = ()
    sentences: list[str] = field(default_factory=list)


def passages(markdown: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """(headings from the outermost in, spoken text) of each passage, in order."""
    for section in _sections(markdown):
        for text in _packed(section.sentences):
            yield section.headings, text


def first_heading(markdown: str) -> str:
    """The outermost heading's text, empty if there is none."""
    return next((headings[0] for headings, _ in passages(markdown) if headings), "")


def _sections(markdown: str) -> Iterator[_Section]:
    """Each section that has text."""
    path: dict[int, str] = {}
    section = _Section()
    for depth, text in _blocks(_COMMENT.sub("", _FRONT_MATTER.sub("", markdown))):
        if not depth:
            # A sentence with a gap that nobody filled in ("[amount]") says less than nothing.
            section.sentences += (one for one in _SENTENCE_END.split(text) if not _UNFILLED.search(one))
            continue
        if section.sentences:
            yield section
        path = {level: heading for level, heading in path.items() if level < depth}
        path[depth] = text
        section = _Section(tuple(path[level] for level in sorted(path)))
    if section.sentences:
        yield section


def _blocks(markdown: str) -> Iterator[tuple[int, str]]:
    """(depth, text) of each heading; (0, spoken text) of each paragraph, list item and row of a table."""
    waiting: list[str] = []  # lines of a paragraph or an item that may go on in the next line
    columns: list[str] = []
    for line in _lines(markdown):
        heading = _heading(line, waiting)
        is_row = line.startswith("|")
        if heading or is_row or not _goes_on(waiting, line):
            if text := _spoken(" ".join(waiting)):
                yield 0, text
            waiting.clear()
        if heading:
            yield heading
        elif is_row:
            cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
            if columns and not _RULE.fullmatch(line) and (row := _row(columns, cells)):
                yield 0, row
            columns = columns or cells
        elif line and not _RULE.fullmatch(line):
            waiting.append(line.removeprefix("> "))
        columns = columns if is_row else []
    if text := _spoken(" ".join(waiting)):
        yield 0, text


def _lines(markdown: str) -> Iterator[str]:
    """Lines without white space around them; code between fences, which nobody could read aloud, is left out."""
    fenced = False
    for raw in markdown.splitlines():
        line = raw.strip()
        if line.startswith(("```", "~~~")):
            fenced, line = not fenced, ""
        if not fenced:
            yield line


def _heading(line: str, waiting: list[str]) -> tuple[int, str] | None:
    """(depth, text) of a heading, with # before it or underlined; a line that is underlined is taken from `waiting`."""
    if found := _HEADING.fullmatch(line):
        depth, text = len(found[1]), found[2]
    elif len(waiting) == 1 and not _ITEM.match(waiting[0]) and _UNDERLINE.fullmatch(line):
        depth, text = (1 if line[0] == "=" else 2), waiting.pop()
    else:
        return None
    return depth, _NUMBERING.sub("", _plain(text)).rstrip(".:")


def _goes_on(waiting: list[str], line: str) -> bool:
    """Whether a line goes on with the paragraph or item that is waiting."""
    begins = not line or _ITEM.match(line) or _BOLD_LEAD.match(line) or _RULE.fullmatch(line)
    return not (begins or _BOLD_LINE.fullmatch(line)) and not _BOLD_LINE.fullmatch(" ".join(waiting))


def _row(columns: list[str], cells: list[str]) -> str:
    """A row of a table: "Gold: £5." of two columns, "Gold: Fee £5, Limit £300." of more."""
    name, *values = cells
    if len(values) > 1:
        values = [f"{column} {value}" for column, value in zip(columns[1:], values, strict=False) if column and value]
    text = ", ".join(filter(None, values))
    return _ended(f"{name}: {text}" if name and text else name or text)


def _spoken(text: str) -> str:
    """A paragraph or an item of Markdown as spoken text."""
    return _ended(_plain(_LEAD.sub(r"\2: ", _ITEM.sub("", text, count=1))))


def _plain(text: str) -> str:
    text = _LINK.sub(r"\1", _IMAGE.sub("", _TAG.sub("", _BREAK.sub(" ", text.strip()))))
    return re.sub(r":(?:\s*:)+", ":", " ".join(_EMPHASIS.sub("", text).replace("\\", "").split()))


def _ended(text: str) -> str:
    return text if not text or _GOES_ON.search(text) else f"{text}."


def _packed(sentences: Iterable[str]) -> Iterator[str]:
    """Join sentences in order while they fit; a single one that does not fit is cut between words.

    One that announces the next (it ends with a colon) goes with it, and is left out if nothing follows.
    """
    room: list[str] = []
    words_in_room = 0
    for sentence in sentences:
        words = sentence.split()
        for start in range(0, len(words), PASSAGE_WORDS):
            piece = words[start : start + PASSAGE_WORDS]
            if room and words_in_room + len(piece) > PASSAGE_WORDS:
                announced = [room.pop()] if room[-1].endswith(":") and len(room) > 1 else []
                yield " ".join(room)
                room = announced if len(" ".join(announced).split()) + len(piece) <= PASSAGE_WORDS else []
            room.append(" ".join(piece))
            words_in_room = sum(len(text.split()) for text in room)
    while room and room[-1].endswith(":"):
        room.pop()
    if room:
        yield " ".join(room)
