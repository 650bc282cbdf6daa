"""What the bank has approved: read from files and checked.

Two kinds of source, one result. Approved answers (TOML, or JSONL with `asks`) are spoken word for word. Documents
(Markdown, or JSONL with `content`) are split into passages that can be spoken (`documents.py`), each under the headings
that lead to it and with the name of its product; what calls itself internal is not read to callers. Finding the right
one is in `retrieval.py` and `document_search.py`.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teller.banking.document_files import (
    SUFFIXES,
    in_force,
    is_internal,
    json_document,
    knowledge_files,
    markdown_document,
    text_of,
)
from teller.banking.document_subjects import Subject, subjects_of
from teller.banking.documents import Document, passages
from teller.banking.lexical import words
from teller.banking.products import RateTable, parse_toml, render
from teller.errors import KnowledgeError
from teller.turn import DataClass

_SHORT_WORDS = 15  # a passage of so few may say "£300 a day" and not of what
_ID = re.compile(r"\S{1,200}")


@dataclass(frozen=True, slots=True)
class Approved:
    """One thing that may be said.

    Attributes:
        version: changes with every word of the text, so also with each rate in it.
        asks: ways of asking for it; for a passage the title of its document.
        spoken_whole: True for an approved answer, False for a passage of a document.
        handoff: a person takes over after it is said.
        sensitive: never kept in the cache.
        tool: the calculation that answers better than the text, empty if none does.
        about: of a passage, what its document is about.
    """

    id: str
    version: str
    title: str
    text: str
    asks: tuple[str, ...]
    data_class: DataClass = DataClass.PUBLIC
    stamps: tuple[str, ...] = ()
    spoken_whole: bool = True
    handoff: bool = False
    sensitive: bool = False
    tool: str = ""
    about: Subject | None = None


def read_knowledge(path: Path, rates: RateTable, today: datetime.date | None = None) -> tuple[Approved, ...]:
    """Read a folder, with its subfolders, or one file.

    Args:
        path: where it is.
        rates: what `{rate}` in an approved answer stands for.
        today: of documents with dates, what is not in force then is not read; the day it is if not given.

    Raises:
        KnowledgeError: naming file and line: for a folder that is missing or empty, a broken file, an id used twice,
            an answer without text.
    """
    today = today or datetime.date.today()
    seen: dict[str, str] = {}
    found: list[Approved] = []
    documents: list[Document] = []
    for name, file in knowledge_files(path):
        for where, one in _read_file(file, name, rates, today):
            if one.id in seen:
                raise KnowledgeError(f"{where}: the id '{one.id}' is used already at {seen[one.id]}")
            seen[one.id] = where
            if isinstance(one, Approved):
                found.append(one)
            else:
                documents.append(one)
    documents = in_force(documents, today)
    subjects = subjects_of(documents)
    for document in documents:
        found += split_document(document, subjects[document.id])
    if not found:
        raise KnowledgeError(f"{path.name}: no answer and no document in it; Teller reads {', '.join(SUFFIXES)} files")
    return tuple(found)


def split_document(document: Document, about: Subject) -> list[Approved]:
    """The passages of a document, each named after the product that it is about if it does not say so itself."""
    said = passages(document.markdown)
    parts = [
        (headings, _named(text, headings, about)) for headings, text in said if not any(map(is_internal, headings))
    ]
    version = hashlib.sha256(json.dumps([document.title, parts]).encode()).hexdigest()[:12]
    return [
        Approved(
            id=f"{document.id}#{number}",
            version=version,
            title=" - ".join(dict.fromkeys([document.title, *headings])),
            text=text,
            asks=(headings[-1] if headings and headings[-1].endswith("?") else document.title,),
            data_class=DataClass.PRODUCT,
            stamps=(f"document:{document.id}@{version}",),
            spoken_whole=False,
            about=about,
        )
        for number, (headings, text) in enumerate(parts, 1)
    ]


def _named(text: str, headings: tuple[str, ...], about: Subject) -> str:
    """A passage with its product's name, and a fragment with its heading, where it does not say so itself."""
    said = set(re.findall(r"[^\W_]+", text.lower()))
    said |= {word.removesuffix("s") for word in said}
    product = "" if about.names <= said else about.spoken
    is_fragment = len(text.split()) <= _SHORT_WORDS or text[0].islower()
    heading = headings[-1] if len(headings) > 1 and is_fragment else ""
    if heading.endswith("?") or not set(words(heading)).isdisjoint(words(text if heading else "")):
        heading = ""
    before = ", ".join(filter(None, (product, heading)))
    return f"{before}: {text}" if before else text


def knowledge_version(entries: Iterable[Approved]) -> str:
    """A digest of every text, version and way of asking; 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.id):
        digest.update(json.dumps([entry.id, entry.version, entry.asks]).encode())
    return digest.hexdigest()[:12]


def _read_file(
    file: Path, name: str, rates: RateTable, today: datetime.date
) -> Iterator[tuple[str, Approved | Document]]:
    text = text_of(file, name)
    match file.suffix.lower():
        case ".toml":
            yield from _read_toml(text, name, rates)
        case ".jsonl":
            yield from _read_jsonl(text, name, rates, today)
        case _:
            if document := markdown_document(text, name, today):
                yield f"{name}:1", document


def _read_toml(text: str, name: str, rates: RateTable) -> Iterator[tuple[str, Approved]]:
    tree = parse_toml(text, name)
    answers = tree.get("answer")
    if not isinstance(answers, list):
        raise KnowledgeError(f"{name}:1: no [[answer]] in it")
    starts = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[answer]]"]
    for index, fields in enumerate(answers):
        where = f"{name}:{starts[index] if index < len(starts) else 1}"
        yield where, _approved(fields, where, rates)


def _read_jsonl(
    text: str, name: str, rates: RateTable, today: datetime.date
) -> Iterator[tuple[str, Approved | Document]]:
    for number, line in enumerate(text.split("\n"), 1):  # a string may hold what else ends a line
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as exc:
            found = f"{exc.msg} at column {exc.colno}; each line holds one object"
            raise KnowledgeError(f"{where}: not JSON: {found}") from exc
        except (ValueError, RecursionError) as exc:
            raise KnowledgeError(f"{where}: JSON with a number too long or lists too deep to read") from exc
        if not isinstance(fields, dict):
            raise KnowledgeError(f"{where}: an object was expected, got {type(fields).__name__}")
        if "asks" in fields:
            yield where, _approved(fields, where, rates)
        elif document := json_document(fields, where, today):
            yield where, document


def _approved(fields: Mapping[str, Any], where: str, rates: RateTable) -> Approved:
    asks = fields.get("asks")
    if not isinstance(asks, list) or not asks or not all(isinstance(ask, str) and ask.strip() for ask in asks):
        raise KnowledgeError(f"{where}: 'asks' must be a list of at least one question")
    title = _text(fields, "title", where, default=asks[0])
    rendered = render(_text(fields, "text", where).strip(), rates, where)
    kind = fields.get("class", "product" if rendered.stamps else "public")
    if kind not in (DataClass.PUBLIC, DataClass.PRODUCT):
        raise KnowledgeError(f"{where}: 'class' is {kind!r}; approved answers are 'public' or 'product'")
    written = fields.get("version", 1)
    return Approved(
        id=_text(fields, "id", where),
        version=f"{written}-{hashlib.sha256(rendered.text.encode()).hexdigest()[:8]}",
        title=title,
        text=rendered.text,
        asks=tuple(asks),
        data_class=DataClass(kind),
        stamps=rendered.stamps,
        handoff=bool(fields.get("handoff", False)),
        sensitive=bool(fields.get("sensitive", False)),
        tool=str(fields.get("tool", "")),
    )


def _text(fields: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = fields.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise KnowledgeError(f"{where}: '{key}' is missing or empty")
    if key == "id" and not _ID.fullmatch(value):
        raise KnowledgeError(f"{where}: an id has no spaces and at most 200 characters, got {value[:60]!r}")
    return value
