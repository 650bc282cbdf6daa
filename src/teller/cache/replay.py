"""Labelled questions asked of a cache that begins empty: how right the judge's opinions are.

What it gives is the evidence for `calibration.calibrate`. It is what service is: a question is judged before its own
answer is stored, a hit stores nothing, the exact tier takes what it would take, and the first question on a subject has
nobody to be right with. Leaving one question out of a full cache would hide that.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from teller.cache.calibration import Record
from teller.cache.canonical import exact_text
from teller.cache.entries import Text
from teller.cache.events import pack_vector, unpack_vector
from teller.cache.judge import CertifiedJudge
from teller.cache.live_regions import LiveRegions
from teller.cache.metric import Metric, is_due, learn, sample
from teller.cache.verdict import Accept, Neighbour, Probe
from teller.errors import InputError, KnowledgeError
from teller.ports import Embedder, VectorIndex, Vectors
from teller.turn import DataClass, Question
from teller.values.figures import in_figures

_MAX_LABELLED = 200_000  # vectors of so many take 300 MB


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question and the answer that is right for it.

    Attributes:
        answer_id: of the answer, or any label that is equal for questions with the same answer.
        kept: whether the answer may be kept; where it may not, every hit on the question is wrong.
    """

    question: Question
    answer_id: str
    data_class: DataClass = DataClass.PUBLIC
    kept: bool = True


@dataclass(slots=True)
class Replayed:
    """What came of a replay.

    Attributes:
        records: one for each question that had a neighbour and that the exact tier did not answer.
        exact: questions that the exact tier would answer; the judge is not asked about them.
        contradictory: askings that are there with two answers or more; each time but the first counts as it falls.
    """

    records: list[Record] = field(default_factory=list)
    asked: int = 0
    exact: int = 0
    contradictory: int = 0
    labels: Counter[str] = field(default_factory=Counter)


async def replay(
    labelled: Sequence[Labelled],
    judge: CertifiedJudge,
    embedder: Embedder,
    make_index: Callable[[], VectorIndex],
    *,
    max_false_hits: float,
    asked: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Ask every question once, in an order that its text alone decides, so the same file gives the same evidence.

    Args:
        labelled: each becomes an entry if it is missed and may be kept.
        judge: its opinions are taken; its own regions are not asked.
        embedder: the one that the cache has.
        make_index: gives an empty index.
        max_false_hits: limit at which live regions decide what would be a hit and store nothing.
        asked: is told how many were asked so far.

    Raises:
        EngineError: if a question cannot be embedded.
    """
    shelf = _Shelf(judge, make_index())
    regions = LiveRegions(max_false_hits=max_false_hits)
    found = Replayed()
    said: dict[str, set[str]] = {}
    for at, one in enumerate(sorted(labelled, key=_draw), 1):
        found.asked = at
        found.labels[one.answer_id] += 1
        exact = exact_text(one.question)
        answers = said.setdefault(exact, set())
        found.contradictory += bool(answers) and one.answer_id not in answers
        answers.add(one.answer_id)
        if exact in shelf.stored:
            found.exact += 1
            continue
        vector, tokens = await embedder.embed_tokens(in_figures(one.question))
        near = shelf.near(vector)
        if near:
            risk_class = near[0].data_class.value
            opinion = judge.opine(Probe(one.question, vector, tokens, near, risk_class, shelf.metric))
            right = one.kept and opinion.best.answer_id == one.answer_id
            found.records.append(Record(risk_class, opinion.probability, right, one.answer_id))
            served = isinstance(judge.decide(opinion, regions.region(risk_class)), Accept)
            regions.answered(risk_class, opinion.probability, None if served else right)
            if served:
                asked(at)
                continue
        if one.kept:
            shelf.put(one, exact, vector, judge.sketch(one.question, vector, tokens))
        asked(at)
    return found


def read_labelled(
    path: Path, *, text: str, label: str, read: Callable[[str], Question], data_class: Callable[[str], DataClass]
) -> list[Labelled]:
    """The questions of a CSV file with a header.

    Args:
        path: of the file, UTF-8.
        text: name of the questions' column.
        label: name of the column whose entries are equal for questions with the same answer.
        read: makes a redacted question of a text.
        data_class: of a label's answer.

    Raises:
        InputError: if the file cannot be read, or a column is not there.
        KnowledgeError: naming file and line: for a row that cannot be used; without rows, or with one label only.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = [
                Labelled(question, answer_id, data_class(answer_id))
                for question, answer_id in _rows(csv.DictReader(file, strict=True), path, text, label, read)
            ]
    except UnicodeDecodeError as exc:
        raise KnowledgeError(f"{path.name}: not UTF-8 text; save the file as UTF-8") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror or type(exc).__name__}") from exc
    if not found:
        raise KnowledgeError(f"{path.name}: no question in it, only a header")
    if len({one.answer_id for one in found}) == 1:
        raise KnowledgeError(f"{path.name}: every question has the label {found[0].answer_id!r}: no hit could be wrong")
    return found


def _rows(
    reader: csv.DictReader[str], path: Path, text: str, label: str, read: Callable[[str], Question]
) -> Iterator[tuple[Question, str]]:
    try:
        columns = reader.fieldnames or []
        for option, name in (("--text", text), ("--label", label)):
            if name not in columns:
                there = ", ".join(map(repr, columns)) or "none"
                raise InputError(f"{path.name} has no column {name!r}; there are: {there}. Name it with {option}")
        for count, row in enumerate(reader, 1):
            where = f"{path.name}:{reader.line_num}"
            if count > _MAX_LABELLED:
                raise KnowledgeError(f"{where}: more than {_MAX_LABELLED:,} questions; a sample is evidence enough")
            asked, answer_id = row[text], row[label]
            if not (asked or "").strip() or not (answer_id or "").strip():
                raise KnowledgeError(f"{where}: {text if not (asked or '').strip() else label} is empty")
            if None in row or None in row.values():
                raise KnowledgeError(f"{where}: more or fewer fields than the {len(columns)} of the header")
            try:
                yield read(asked), answer_id.strip()
            except InputError as exc:
                raise KnowledgeError(f"{where}: {exc}") from exc
    except csv.Error as exc:
        raise KnowledgeError(f"{path.name}:{reader.line_num}: not CSV: {exc}") from exc


class _Shelf:
    """Entries of a replay."""

    def __init__(self, judge: CertifiedJudge, index: VectorIndex) -> None:
        self.stored: set[str] = set()
        self.metric: Metric | None = None
        self._learned_from = 0
        self._judge = judge
        self._index = index
        self._rows: list[tuple[Labelled, bytes]] = []

    def put(self, one: Labelled, exact: str, vector: Vectors, sketch: bytes) -> None:
        self.stored.add(exact)
        as_kept = unpack_vector(pack_vector(vector))  # the log keeps eight bits of each number
        self._index.add(np.array([len(self._rows)], dtype=np.int64), as_kept[None, :])
        self._rows.append((one, sketch))
        if is_due(len(self._rows), self._learned_from):
            self._learn()

    def _learn(self) -> None:
        """As upkeep does."""
        self._learned_from = len(self._rows)
        ids = sample(np.arange(len(self._rows), dtype=np.int64))
        answer_ids = [self._rows[row][0].answer_id for row in ids.tolist()]
        self.metric = learn(self._index.vectors(ids), answer_ids, learned_from=self._learned_from) or self.metric

    def near(self, vector: Vectors) -> tuple[Neighbour, ...]:
        if not self._rows:
            return ()
        similarities, ids = self._index.search(vector, self._judge.neighbours)
        columns = zip(ids.tolist(), np.minimum(similarities, 1.0).tolist(), self._index.vectors(ids), strict=True)
        return tuple(self._neighbour(row, similarity, kept) for row, similarity, kept in columns)

    def _neighbour(self, row: int, similarity: float, vector: Vectors) -> Neighbour:
        one, sketch = self._rows[row]
        return Neighbour(
            entry_id=row,
            asked=Text(one.question.text, one.question.values, sketch),
            answer_id=one.answer_id,
            similarity=similarity,
            accuracy=2 / 3,
            at=0.0,
            data_class=one.data_class,
            vector=vector,
        )


def _draw(one: Labelled) -> bytes:
    text = f"{one.question.text}\n{one.answer_id}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
