"""Files of documents as people keep them: which ones there are, their text, and the documents in them.

Fields of JSONL go by the names that exports commonly give them. What calls itself internal or superseded is for nobody
to hear, and of several versions of one document, which only a date in the title tells apart, the one in force is.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from teller.banking.documents import Document, front_matter, own_title
from teller.errors import KnowledgeError

SUFFIXES = (".toml", ".jsonl", ".md", ".markdown")
_HIDDEN = (".", "~$")
_MAX_FILE_BYTES = 200_000_000
_ID = re.compile(r"\S{1,200}")
# What a field is called, the likeliest first.
_IDS = ("id", "_id", "doc_id", "document_id", "key", "slug", "uid", "uuid")
_TITLES = ("title", "name", "heading", "question", "subject", "topic")
_CONTENTS = ("content", "text", "body", "markdown", "answer", "page_content", "description")
_BEGINS = ("valid_from", "effective_from", "effective_date")
_ENDS = ("valid_until", "valid_to", "effective_until", "expires", "expiry_date")
_AUDIENCES = ("audience", "visibility", "classification", "access")
_STATES = ("status", "state")
# "Internal: ...", "(Internal) ...", "... (internal use only)"; not "Internal transfers".
_INTERNAL = re.compile(
    r"\W*internal(?: use)?(?: only)?\s*(?:[:)\]|–—]|- ).*|.*[(\[]internal(?: use)?(?: only)?[)\]]\W*", re.I
)
_NOT_FOR_CALLERS = frozenset(
    ("internal", "staff", "staff only", "internal only", "private", "confidential", "restricted")
)
_NOT_IN_FORCE = frozenset(
    (
        "archived",
        "deprecated",
        "draft",
        "ended",
        "expired",
        "inactive",
        "obsolete",
        "retired",
        "superseded",
        "withdrawn",
    )
)
_TRUE = frozenset(("true", "yes", "1"))
_MONTHS = re.split(" ", "january february march april may june july august september october november december")
_YEAR = r"(?:19|20)\d\d"
_MONTH = rf"(?:{'|'.join(_MONTHS)})"
_ISO = re.compile(rf"\b({_YEAR})[-/](0[1-9]|1[0-2])(?:[-/](\d\d))?\b")
_WRITTEN = re.compile(
    rf"\b(?:(\d\d?)(?:st|nd|rd|th)? )?({_MONTH}),? ({_YEAR})\b|\b({_MONTH}) (\d\d?),? ({_YEAR})\b", re.I
)
_ALONE = re.compile(rf"\b({_YEAR})\b")
_DATED_PART = re.compile(rf"[(\[][^)\]]*\b{_YEAR}\b[^)\]]*[)\]]")


def knowledge_files(path: Path) -> list[tuple[str, Path]]:
    """(name within the folder, file), sorted; hidden ones are left out, folders that are linked to are not.

    Raises:
        KnowledgeError: for a folder that is missing or has nothing to read, or a file that is too large.
    """
    if path.is_file():
        found = [(path.name, path)]
    elif path.is_dir():
        found = sorted((file.relative_to(path).as_posix(), file) for file in _within(path))
    else:
        raise KnowledgeError(f"{path}: there is no such knowledge folder or file")
    if not found:
        raise KnowledgeError(f"{path}: the knowledge folder holds no {', '.join(SUFFIXES)} file")
    for name, file in found:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise KnowledgeError(f"{name}: larger than {_MAX_FILE_BYTES // 1_000_000} MB; split it")
    return found


def _within(path: Path) -> Iterator[Path]:
    been = {path.resolve()}
    for folder, folders, names in os.walk(path, followlinks=True):
        here = Path(folder)
        for name in [*folders]:
            to = (here / name).resolve()
            if name.startswith(_HIDDEN) or to in been:
                folders.remove(name)
            been.add(to)
        files = (here / name for name in names if not name.startswith(_HIDDEN))
        yield from (file for file in files if file.suffix.lower() in SUFFIXES and file.is_file())


def text_of(file: Path, name: str) -> str:
    """A file's text.

    Raises:
        KnowledgeError: if it cannot be read or is no UTF-8 text, with the line.
    """
    try:
        written = file.read_bytes()
    except OSError as exc:
        raise KnowledgeError(f"{name}: cannot be read ({type(exc).__name__})") from exc
    if written.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise KnowledgeError(f"{name}:1: UTF-16, not UTF-8 text; save the file as UTF-8")
    if b"\0" in written:
        raise KnowledgeError(f"{name}: not text; a {file.suffix} file was expected")
    try:
        text = written.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = written[: exc.start].count(b"\n") + 1
        raise KnowledgeError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from exc
    return text.replace("\r\n", "\n").replace("\r", "\n")


def markdown_document(text: str, name: str, today: datetime.date) -> Document | None:
    """A file of Markdown; None if it is not for callers."""
    fields = front_matter(text)
    path = PurePosixPath(name)
    own = own_title(text)
    title = fields.get("title") or own or " ".join(re.split(r"[\s_-]+", path.stem))
    document = Document(name.removesuffix(path.suffix), title, text)
    return document if _is_for_callers(fields, title, today) and not is_internal(own) else None


def json_document(fields: Mapping[str, Any], where: str, today: datetime.date) -> Document | None:
    """A line of JSONL, named after its place if it has no id; None if it is not for callers.

    Raises:
        KnowledgeError: if it has no text, or an id that is none.
    """
    nested = fields.get("metadata")
    fields = {**(nested if isinstance(nested, dict) else {}), **fields}
    content = _first(fields, _CONTENTS, where)
    name = _first(fields, _IDS, where, default="-".join(where.split()))
    has_title = any(fields.get(title) is not None for title in _TITLES)
    title = _first(fields, _TITLES, where, default="" if has_title else own_title(content) or name)
    return Document(name, title, content) if _is_for_callers(fields, title, today) else None


def _first(fields: Mapping[str, Any], names: tuple[str, ...], where: str, default: str = "") -> str:
    """The first of several fields that is there."""
    key = next((name for name in names if fields.get(name) is not None), "")
    value = fields[key] if key else default
    if isinstance(value, (int, float)):
        value = str(value)
    elif isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n\n".join(value)
    if not isinstance(value, str) or not value.strip():
        wanted = f"'{key or names[0]}' is missing or empty"
        raise KnowledgeError(f"{where}: {wanted}" if key else f"{where}: {wanted}; the fields are {', '.join(fields)}")
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise KnowledgeError(f"{where}: '{key}' has half a character in it (\\ud800 to \\udfff)") from exc
    if names is _IDS and not _ID.fullmatch(value):
        raise KnowledgeError(f"{where}: an id has no spaces and at most 200 characters, got {value[:60]!r}")
    return value


def _is_for_callers(fields: Mapping[str, Any], title: str, today: datetime.date) -> bool:
    def among(names: Iterable[str], values: frozenset[str]) -> bool:
        return any(str(fields.get(name, "")).strip().lower() in values for name in names)

    hidden = among(_AUDIENCES, _NOT_FOR_CALLERS) or among(_STATES, _NOT_IN_FORCE) or among(("internal", "draft"), _TRUE)
    begins, ends = ([_date(str(fields.get(name, ""))) for name in names] for names in (_BEGINS, _ENDS))
    is_now = max(begins) <= today.isoformat() and not any(date and date < today.isoformat() for date in ends)
    return is_now and not hidden and not is_internal(title)


def is_internal(title: str) -> bool:
    """Whether a title or a heading says that what follows is not for callers."""
    return _INTERNAL.fullmatch(title) is not None


def in_force(documents: Sequence[Document], today: datetime.date) -> list[Document]:
    """Documents, of several versions of one only the latest that has begun.

    Versions have a date each in their titles, or with one title in their ids, and are alike without it.
    """
    versions: dict[tuple[str, str], list[tuple[str, Document]]] = defaultdict(list)
    for document in documents:
        if date := _date(document.title):
            versions[_undated(document.title), ""].append((date, document))
        elif date := _date(document.id):
            versions[_undated(document.title), _undated(document.id)].append((date, document))
    outdated = set()
    for alike in versions.values():
        dates = {date for date, _ in alike}
        latest = max((date for date in dates if date <= today.isoformat()), default=min(dates))
        outdated |= {document.id for date, document in alike if date != latest}
    return [document for document in documents if document.id not in outdated]


def _undated(title: str) -> str:
    """A title without its dates, small: what versions of one document share."""
    for pattern in (_DATED_PART, _WRITTEN, _ISO, _ALONE):
        title = pattern.sub("", title)
    return " ".join(re.findall(r"\w+", title.lower()))


def _date(text: str) -> str:
    """The first date in a text as yyyy-mm-dd, of a year alone its first day; empty if there is none."""
    if found := _ISO.search(text):
        return f"{found[1]}-{found[2]}-{found[3] or '01'}"
    if found := _WRITTEN.search(text):
        day, month, year = (found[1], found[2], found[3]) if found[2] else (found[5], found[4], found[6])
        return f"{year}-{_MONTHS.index(month.lower()) + 1:02}-{int(day or 1):02}"
    return f"{found[1]}-01-01" if (found := _ALONE.search(text)) else ""
