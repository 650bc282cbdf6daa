"""What the bank has approved: read from files and checked.

Two kinds of source, one result. Approved answers (TOML, or JSONL with `asks`) are spoken word for word. Documents
(Markdown, or JSONL with `content`) are split into passages that can be spoken (`documents.py`), each under the headings
that lead to it and with the name of its product; what calls itself internal is not read to callers. Finding the right
one is in `retrieval.py` and `document_search.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teller.banking.document_names import Subject, subjects_of
from teller.banking.documents import Document, first_heading, passages
from teller.banking.products import RateTable, parse_toml, render
from teller.errors import KnowledgeError
from teller.turn import DataClass

_MAX_FILE_BYTES = 200_000_000
_SUFFIXES = (".toml", ".jsonl", ".md", ".markdown")
_ID = re.compile(r"\S{1,200}")
# "Internal: ...", "(Internal) ...", "... (internal use only)"; not "Internal transfers".
_INTERNAL = re.compile(
    r"\W*internal(?: use)?(?: only)?\s*(?:[:)\]|–—]|- ).*|.*[(\[]internal(?: use)?(?: only)?[)\]]\W*", re.I
)


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


def read_knowledge(path: Path, rates: RateTable) -> tuple[Approved, ...]:
    """Read a folder, with its subfolders, or one file.

    Raises:
        KnowledgeError: naming file and line: for a folder that is missing or empty, a broken file, an id used twice,
            an answer without text.
    """
    files = _files(path)
    seen: dict[str, str] = {}
    found: list[Approved] = []
    documents: list[Document] = []
    for file in files:
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        for where, one in _read_file(file, name, rates):
            if one.id in seen:
                raise KnowledgeError(f"{where}: the id '{one.id}' is used already at {seen[one.id]}")
            seen[one.id] = where
            if isinstance(one, Approved):
                found.append(one)
            elif not _INTERNAL.fullmatch(one.title):
                documents.append(one)
    subjects = subjects_of(documents)
    for document in documents:
        found += split_document(document, subjects[document.id])
    if not found:
        raise KnowledgeError(f"{path.name}: no answer and no document in it; Teller reads {', '.join(_SUFFIXES)} files")
    return tuple(found)


def split_document(document: Document, about: Subject) -> list[Approved]:
    """The passages of a document, each named after the product that it is about if it does not say so itself."""
    parts = [(headings, _named(text, about)) for headings, text in passages(document.markdown)]
    version = hashlib.sha256(json.dumps([document.title, parts]).encode()).hexdigest()[:12]
    return [
        Approved(
            id=f"{document.id}#{number}",
            version=version,
            title=" - ".join(dict.fromkeys([document.title, *headings])),
            text=text,
            asks=(document.title,),
            data_class=DataClass.PRODUCT,
            stamps=(f"document:{document.id}@{version}",),
            spoken_whole=False,
            about=about,
        )
        for number, (headings, text) in enumerate(parts, 1)
    ]


def _named(text: str, about: Subject) -> str:
    names = re.findall(r"[^\W\d_]+", text.lower())
    return text if about.names.issubset(names) or not about.spoken else f"{about.spoken}: {text}"


def knowledge_version(entries: Iterable[Approved]) -> str:
    """A digest of every text, version and way of asking; 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.id):
        digest.update(json.dumps([entry.id, entry.version, entry.asks]).encode())
    return digest.hexdigest()[:12]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    else:
        raise KnowledgeError(f"{path}: there is no such knowledge folder or file")
    if not files:
        raise KnowledgeError(f"{path}: the knowledge folder holds no {', '.join(_SUFFIXES)} file")
    for file in files:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise KnowledgeError(f"{file.name}: larger than {_MAX_FILE_BYTES // 1_000_000} MB; split it")
    return files


def _read_file(file: Path, name: str, rates: RateTable) -> Iterator[tuple[str, Approved | Document]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        line = file.read_bytes()[: exc.start].count(b"\n") + 1
        raise KnowledgeError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from exc
    except OSError as exc:
        raise KnowledgeError(f"{name}: cannot be read ({type(exc).__name__})") from exc
    match file.suffix.lower():
        case ".toml":
            yield from _read_toml(text, name, rates)
        case ".jsonl":
            yield from _read_jsonl(text, name, rates)
        case _:
            title = first_heading(text) or " ".join(re.split(r"[\s_-]+", file.stem))
            yield f"{name}:1", Document(name.rsplit(".", 1)[0], title, text)


def _read_toml(text: str, name: str, rates: RateTable) -> Iterator[tuple[str, Approved]]:
    tree = parse_toml(text, name)
    answers = tree.get("answer")
    if not isinstance(answers, list):
        raise KnowledgeError(f"{name}:1: no [[answer]] in it")
    starts = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[answer]]"]
    for index, fields in enumerate(answers):
        where = f"{name}:{starts[index] if index < len(starts) else 1}"
        yield where, _approved(fields, where, rates)


def _read_jsonl(text: str, name: str, rates: RateTable) -> Iterator[tuple[str, Approved | Document]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as exc:
            raise KnowledgeError(f"{where}: not JSON: {exc.msg} at column {exc.colno}") from exc
        if not isinstance(fields, dict):
            raise KnowledgeError(f"{where}: an object was expected, got {type(fields).__name__}")
        if "asks" in fields:
            yield where, _approved(fields, where, rates)
        else:
            title = _text(fields, "title", where, default=str(fields.get("id", "")))
            body = _text(fields, "content" if "content" in fields else "text", where)
            yield where, Document(_text(fields, "id", where), title, body)


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
