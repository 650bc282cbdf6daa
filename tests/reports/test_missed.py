"""Clusters of missed questions, on scripted vectors."""

import numpy as np
import pytest
from tests.stores.turn_stage import START, composed, hit, write

from teller.reports.missed import ADD, has_missed, missed_clusters
from teller.stores.turn_reader import Span, TurnReader
from teller.turn import Answer, MissReason, Question, Source

MINUTE = Span(START, START + 60)
UNKNOWN = Answer("I do not know.", Source.REFUSED, "policy.not_covered", reason="not_covered")


class ByFirstWord:
    """Texts with the same first word have the same vector."""

    name, dim = "first-word", 64

    async def embed(self, texts):
        words = sorted({text.split()[0] for text in texts})
        return np.eye(self.dim, dtype=np.float32)[[words.index(text.split()[0]) for text in texts]]


def asked(text, number, **changes):
    return composed(number, question=Question(text), **changes)


@pytest.fixture
def reader(tmp_path):
    opened = []

    def of(*records, **options):
        write(tmp_path / "turns.sqlite", *records, **options)
        opened.append(TurnReader(tmp_path / "turns.sqlite"))
        return opened[-1]

    yield of
    for one in opened:
        one.close()


async def test_wordings_of_one_meaning_are_one_cluster_the_most_asked_first(reader):
    log = reader(
        asked("iban where", 0),
        *(asked("bitcoin for sale", number, answer=UNKNOWN) for number in range(3)),
        *(asked("bitcoin trading", 3 + number, answer=UNKNOWN) for number in range(2)),
        hit(9),
    )
    first, second = [one.view() for one in await missed_clusters(log, MINUTE, ByFirstWord(), most=5)]
    assert (first["asked"], first["wordings"]) == (5, 2)
    assert first["questions"] == ["bitcoin for sale", "bitcoin trading"]
    assert first["answered_by"] == "refused"
    assert first["advice"] == ADD
    assert second["questions"] == ["iban where"]
    assert second["advice"] != ADD


async def test_without_an_embedder_each_wording_stands_for_itself(reader):
    log = reader(asked("bitcoin now", 0), asked("bitcoin later", 1))
    assert len(await missed_clusters(log, MINUTE, None, most=5)) == 2
    assert len(await missed_clusters(log, MINUTE, None, most=1)) == 1


async def test_what_is_never_looked_up_or_refused_by_policy_is_left_out(reader):
    refused = Answer("No.", Source.REFUSED, "policy.advice", reason="advice")
    log = reader(asked("a", 0, miss_reason=MissReason.NOT_ELIGIBLE), asked("b", 1, answer=refused), hit(2))
    assert not has_missed(log, MINUTE)
    assert await missed_clusters(log, MINUTE, ByFirstWord(), most=5) == []


async def test_a_log_without_texts_has_nothing_to_cluster(reader):
    assert not has_missed(reader(asked("a", 0), keep_text=False), MINUTE)
