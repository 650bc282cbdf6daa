"""Markdown documents as passages that can be spoken: at most PASSAGE_WORDS words that never cross a heading.

What is read aloud has no layout, so a list item ends in a full stop, a row of a table names its columns and is a
passage of its own unless the table is short, lines that an editor has wrapped are one sentence again, and a line that
announces what follows ("Two things are needed:") is never the last of a passage. A question that the text answers
itself ("Q: ...", "**May I ...?**") is the heading of its answer. Not here: the files (`document_files.py`), which
product a document is about (`document_subjects.py`), finding the passage (`document_search.py`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

_SHORT_TABLE_WORDS = 30  # a table is read out whole up to here
PASSAGE_WORDS = 70  # about 25 seconds of speech; longer answers are not listened to

_HEADING = re.compile(r"(#{1,7})\s+(.*?)[\s#]*")
_UNDERLINE = re.compile(r"=+|-{2,}")
_RULE = re.compile(r"[-=*_|:\s]+")
_QUOTED = re.compile(r"^(?:>\s*)+")
_ITEM = re.compile(r"^(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
_NUMBERING = re.compile(r"^(?:(?:\d+\.)+\d*|\d+\))\s+")
_FRONT_MATTER = re.compile(r"\A\s*(---|\+\+\+)[ \t]*\n((?:#.*\n)*[\w-]+[ \t]*[:=].*?)\n\1[ \t]*(?:\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"^([\w-]+)[ \t]*[:=][ \t]*(.*?)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--(?:(?!<!--|-->).)*-->", re.DOTALL)
_DIRECTIVE = re.compile(
    r"(?m)^[ \t]*(?::::.*|[!?]{3}\+?[ \t]+\w+.*|\[(?!\^)[^\]]+\]:[ \t]*\S+.*)$"  # ":::", "!!! note", "[x]: address"
    r"|\{%(?:(?!\{%|%\}).)*%\}|\{#[^{}]*\}"  # "{% include %}", "{#anchor}"
    r"|\[!\w+\][-+]?|\[\^[^\[\]]+\]:?"  # "[!NOTE]", "[^1]"
)
_STRUCK = re.compile(r"~~.*?~~")
_MAIL = re.compile(r"<(?:mailto:)?([^\s<>@]+@[^\s<>]+)>")
_ADDRESS = re.compile(r"<?\bhttps?://(?:www\.)?([^\s<>)]*[^\s<>).,;:!?/])/?>?")
_SIGNS = {"✓": "yes", "✔": "yes", "✅": "yes", "✗": "no", "✘": "no", "✕": "no", "❌": "no", "–": "", "—": "", "-": ""}
_QUESTION = re.compile(r"(?:\*\*|__)?Q(?:uestion)?\s*\d*\s*[.:)]\s*(?:\*\*|__)?\s*(?P<q>\S.*?)\s*(?:\*\*|__)?")
_BOLD_QUESTION = re.compile(r"(?:[-*+]\s+)?(\*\*|__)(?P<q>[^*]+?\?)\1:?\s*(?P<a>.*)")
_ASKING = frozenset("Q*_-+")  # what a line with a question begins with
_REPLY = re.compile(r"(?:\*\*|__)?A(?:nswer)?\s*\d*\s*[.:)]\s*(?:\*\*|__)?\s*")
# HTML of which whole documents are made, as Markdown.
_HTML = (
    (
        re.compile(r"\s*<h([1-6])\b[^<>]*>\s*(.*?)\s*</h\1>\s*", re.I | re.S),
        lambda found: f"\n\n{'#' * int(found[1])} {' '.join(found[2].split())}\n\n",
    ),
    (re.compile(r"\s*<li\b[^<>]*>\s*", re.I), "\n- "),
    (re.compile(r"\s*<tr\b[^<>]*>\s*", re.I), "\n|"),
    (re.compile(r"\s*</t[dh]>\s*", re.I), "|"),
    (re.compile(r"\s*</?(?:article|div|dd|dl|dt|li|ol|p|section|table|tbody|thead|ul)\b[^<>]*>\s*", re.I), "\n\n"),
    (re.compile(r"<(?:/tr|t[dh]\b[^<>]*)>[ \t]*", re.I), ""),
)
_BREAK = re.compile(r"<(?:br|hr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|abbr|b|button|center|cite|code|details|div|em|figure|font|i|img|kbd|label|mark|p|q|section|small|span|strong"
    r"|sub|summary|sup|time|u)\b[^<>]*>",
    re.IGNORECASE,
)
_TARGET = r"(?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])"  # an address, which may have brackets itself
_IMAGE = re.compile(rf"!\[[^\[\]]*\]{_TARGET}")
_LINK = re.compile(rf"\[([^\[\]]+)\]{_TARGET}")
_LEAD = re.compile(r"^(\*\*|__)([^*]{1,80}?):?\1:?\s*(?:[-–—:]\s+)?(?=\S)")
_EMPHASIS = re.compile(r"\*{1,3}|`{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[ep]\.[ga]\.)(?<!\bi\.e\.)\s+(?=[^\sa-zà-öø-ÿ])")
_UNFILLED = re.compile(r"\[[^\[\]]*\]|\{\{[^{}]*\}\}")
_BOLD_LEAD = re.compile(r"(\*\*|__)[^*]+?(?::\1|\1:|\1\s+[-–—]\s)")
_DIVIDER = re.compile(r":?-+:?(?:\s*\|\s*:?-+:?)+")
_BOLD_LINE = re.compile(r"(\*\*|__)[^*]+\1:?")
_ROW = -1  # the depth of a table's row
_QUESTION_DEPTH = 7  # below every heading of Markdown
_GOES_ON = re.compile(r"(?:[.!?:;,]|\b(?:and|or))[\"')]*$")


@dataclass(frozen=True, slots=True)
class Document:
    """One document as it was written."""

    id: str
    title: str
    markdown: str


@dataclass(slots=True)
class _Section:
    """The headings that lead to a section, from the outermost in, and what is said there.

    Attributes:
        parts: sentences that may be joined, list by list; a table is one, or each of its rows if it is long.
    """

    headings: tuple[str, ...] = ()
    parts: list[list[str]] = field(default_factory=list)


def passages(markdown: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """(headings from the outermost in, spoken text) of each passage, in order."""
    for section in _sections(markdown):
        for part in section.parts:
            for text in _packed(part):
                yield section.headings, text


def front_matter(markdown: str) -> dict[str, str]:
    """What stands before a document about it (YAML between `---`, TOML between `+++`): plain values, keys small."""
    found = _FRONT_MATTER.match(markdown)
    return {key.lower(): value.strip("\"'") for key, value in _FIELD.findall(found[2])} if found else {}


def own_title(markdown: str) -> str:
    """What a document calls itself: a first heading of level one, or the only outermost one; else empty."""
    least, outermost = _QUESTION_DEPTH, list[str]()
    for depth, text in _blocks(_plainly(markdown)):
        if depth == 1 and not outermost:
            return text
        if 0 < depth < least:
            least, outermost = depth, []
        if depth == least:
            outermost.append(text)
    return outermost[0] if len(outermost) == 1 else ""


def running_lines(markdown: str) -> Iterator[str]:
    """The lines of a document that are no headings."""
    return (line for line in _plainly(markdown).splitlines() if not line.lstrip().startswith("#"))


def _sections(markdown: str) -> Iterator[_Section]:
    """Each section that has text."""
    path: dict[int, str] = {}
    section = _Section()
    for is_row, blocks in groupby(_blocks(_plainly(markdown)), key=lambda block: block[0] == _ROW):
        if is_row:
            section.parts += _tabled([text for _, text in blocks])
            continue
        for starts, (depth, text) in enumerate(blocks):
            if depth:
                if any(section.parts):
                    yield section
                path = {level: heading for level, heading in path.items() if level < depth}
                path[depth] = text
                section = _Section(tuple(path[level] for level in sorted(path)))
            else:
                if not starts or not section.parts:
                    section.parts.append([])
                # A sentence with a gap that nobody filled in ("[amount]") says less than nothing.
                section.parts[-1] += (one for one in _SENTENCE_END.split(text) if not _UNFILLED.search(one))
    if any(section.parts):
        yield section


def _tabled(rows: list[str]) -> list[list[str]]:
    rows = [row for row in rows if not _UNFILLED.search(row)]
    return [rows] if len(" ".join(rows).split()) <= _SHORT_TABLE_WORDS else [[row] for row in rows]


def _plainly(markdown: str) -> str:
    """Markdown without what is about it, and what its editors' tools put into it."""
    text = _COMMENT.sub("", _FRONT_MATTER.sub("", markdown))
    if "</" in text:
        for pattern, replacement in _HTML:
            text = pattern.sub(replacement, text)
    return _DIRECTIVE.sub("", text)


def _blocks(markdown: str) -> Iterator[tuple[int, str]]:
    """(depth, text) of each heading; (0, spoken text) of each paragraph and list item, (_ROW, ...) of a table's row."""
    waiting: list[str] = []  # lines of a paragraph or an item that may go on in the next line
    columns: list[str] = []
    for line in _lines(markdown):
        if _DIVIDER.fullmatch(line) and len(waiting) == 1 and "|" in waiting[0]:  # a table without outer bars
            columns = _cells(waiting.pop())
        heading = _heading(line, waiting)
        is_row = line.startswith("|") or (bool(columns) and "|" in line)
        if heading or is_row or not _goes_on(waiting, line):
            if waiting and (text := _spoken(" ".join(waiting))):
                yield 0, text
            waiting.clear()
        if heading:
            yield heading
        elif is_row:
            cells = _cells(line)
            if columns and not _RULE.fullmatch(line) and (row := _row(columns, cells)):
                yield _ROW, row
            columns = columns or cells
        elif line and not _RULE.fullmatch(line):
            waiting.append(line)
        columns = columns if is_row else []
    if text := _spoken(" ".join(waiting)):
        yield 0, text


def _lines(markdown: str) -> Iterator[str]:
    """Lines without white space around them; code between fences, which nobody could read aloud, is left out.

    A question that the text answers itself is a heading, and what follows it has no "A:".
    """
    fenced = asked = False
    for raw in markdown.splitlines():
        line = _QUOTED.sub("", raw.strip())
        if line.startswith(("```", "~~~")):
            fenced, line = not fenced, ""
        if fenced:
            continue
        may_ask = line[:1] in _ASKING
        if may_ask and (found := _QUESTION.fullmatch(line) or _BOLD_QUESTION.fullmatch(line)):
            asked = True
            yield f"{'#' * _QUESTION_DEPTH} {found['q']}"
            line = found.groupdict().get("a", "")
        elif line.startswith("#"):
            asked = False
        yield _REPLY.sub("", line, count=1) if asked and _REPLY.match(line) else line


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
    return not (begins or _BOLD_LINE.fullmatch(line)) and not (len(waiting) == 1 and _BOLD_LINE.fullmatch(waiting[0]))


def _cells(line: str) -> list[str]:
    cells = (_plain(cell) for cell in re.split(r"(?<!\\)\|", line.removeprefix("|").removesuffix("|")))
    return [_SIGNS.get(cell, cell) for cell in cells]


def _row(columns: list[str], cells: list[str]) -> str:
    """A row of a table: "Gold: £5." of two columns, "Gold: Fee £5, Limit £300." of more; none without a name."""
    name, *values = cells
    if len(values) > 1:
        pairs = zip(columns[1:], values, strict=False)
        values = [f"{column}{_colon(column, value)} {value}" for column, value in pairs if column and value]
    text = ", ".join(filter(None, values))
    return _ended(f"{name}: {text}" if name and text else name)


def _colon(column: str, value: str) -> str:
    """What keeps two numbers apart, as "Notice 60: 60 days"."""
    return ":" if column[-1].isdigit() and value[0].isdigit() else ""


def _spoken(text: str) -> str:
    """A paragraph or an item of Markdown as spoken text."""
    return _ended(_plain(_LEAD.sub(r"\2: ", _ITEM.sub("", text, count=1))))


def _plain(text: str) -> str:
    text = _LINK.sub(r"\1", _IMAGE.sub("", _TAG.sub("", _BREAK.sub(" ", _STRUCK.sub("", text).strip()))))
    text = html.unescape(_MAIL.sub(r"\1", _ADDRESS.sub(r"\1", text)))
    return re.sub(r"(?:\s*:)+(?=\s|$)", ":", " ".join(_EMPHASIS.sub("", text).replace("\\", "").split()))


def _ended(text: str) -> str:
    return text if not text or _GOES_ON.search(text) else f"{text}."


def _pieces(words: list[str]) -> Iterator[list[str]]:
    """At most PASSAGE_WORDS words each."""
    start = 0
    while len(words) - start > PASSAGE_WORDS:
        marks = range(start + PASSAGE_WORDS, start + PASSAGE_WORDS // 2, -1)
        end = next((at for at in marks if words[at - 1].endswith((",", ";", ":"))), start + PASSAGE_WORDS)
        yield words[start:end]
        start = end
    yield words[start:]


def _packed(sentences: Iterable[str]) -> Iterator[str]:
    """Join sentences in order while they fit; a single one that does not fit is cut, after a comma if it has one there.

    One that announces the next (it ends with a colon) goes with it, and is left out if nothing follows.
    """
    room: list[str] = []
    words_in_room = 0
    for sentence in sentences:
        for piece in _pieces(sentence.split()):
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
