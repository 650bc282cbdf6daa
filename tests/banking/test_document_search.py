"""Finding the passage of a document, and owning up when there is none, with a scripted embedder."""

from pathlib import Path

import pytest

from teller.bank_files import bank_folder
from teller.banking.document_search import WHICH, DocumentSearch, Found, Sureness, looked_at
from teller.banking.knowledge import Approved, read_knowledge
from teller.banking.products import RateTable
from teller.banking.retrieval import Knowledge, Tuning
from teller.engines.faiss_index import FaissIndex
from teller.engines.minilm import MiniLm
from teller.engines.scripted import ScriptedEmbedder
from teller.ports import Asked
from teller.stores.vectors import KeptVectors
from teller.turn import Question

RATES = RateTable("rates.toml", {})
FILES = {
    "silver.md": "# Silver card\n\n## Fees\n\nThe annual fee is £10.\n\n## Lounges\n\nThere are no lounges.\n",
    "gold.md": "# Gold card\n\n## Fees\n\nThe annual fee is £90.\n\n## Fees abroad\n\nThe fee abroad is £0.\n",
    "closing.md": "# Closing an account\n\nYou can close your account in our app.\n",
    "rivals.md": "# What others pay\n\nThe fee abroad on the Gold card is £0.\n",
}


class Counting(ScriptedEmbedder):
    """Counts the texts that it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    async def embed(self, texts):
        self.texts += texts
        return await super().embed(texts)

    async def embed_tokens(self, text):
        return await ScriptedEmbedder().embed_tokens(text)


@pytest.fixture
def passages(tmp_path) -> list[Approved]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return list(read_knowledge(Path(tmp_path), RATES))


async def found(passages: list[Approved], text: str) -> list[str]:
    embedder = ScriptedEmbedder()
    search = DocumentSearch(passages, embedder)
    await search.fill()
    return [passage.id for passage, _ in await search.search(await looked_at(text, embedder), 5)]


async def test_a_product_that_is_named_is_answered_from_documents_about_it(passages):
    assert (await found(passages, "what is the annual fee of the silver card"))[0] == "silver#1"
    assert (await found(passages, "what is the annual fee of the gold card"))[0] == "gold#1"


async def test_no_passage_that_speaks_of_another_product_is_found(passages):
    ids = await found(passages, "what is the fee abroad on the silver card")

    assert ids
    assert not {"gold#1", "gold#2", "rivals#1"} & set(ids)


async def test_a_product_that_no_document_knows_finds_nothing(passages):
    assert await found(passages, "what is the fee of the titanium card") == []


async def test_which_product_is_meant_is_asked_back_where_it_depends_on_it(passages):
    search = DocumentSearch(passages, ScriptedEmbedder())
    await search.fill()
    ((which, _),) = await search.search(await looked_at("what is the annual fee", ScriptedEmbedder()), 5)

    assert which.id == WHICH
    assert which.sensitive
    assert "Silver card" in which.text
    assert "Gold card" in which.text
    assert len(which.stamps) == 2


async def test_nothing_is_asked_back_where_a_question_names_several_products(passages):
    search = DocumentSearch(passages, ScriptedEmbedder())
    await search.fill()
    looked = await looked_at("is the annual fee of the gold card added to that of my silver card", ScriptedEmbedder())

    assert WHICH not in [passage.id for passage, _ in await search.search(looked, 5)]


async def test_a_bare_name_finds_nothing_by_itself_and_an_answer_after_a_question(passages):
    knowledge = Knowledge(passages, ScriptedEmbedder(), FaissIndex, Tuning(min_score=0.0))
    await knowledge.fill()

    assert await knowledge.search(Question("the gold card")) == ()
    after = await knowledge.search(Question("the gold card"), after=Asked("what is the annual fee", WHICH))
    assert after[0].answer_id == "gold#1"


async def test_a_question_that_leans_on_one_about_another_product_leaves_that_product_behind(passages):
    knowledge = Knowledge(passages, ScriptedEmbedder(), FaissIndex, Tuning(min_score=0.0))
    await knowledge.fill()
    before = Asked("what is the annual fee of the gold card", "gold#1")

    found = await knowledge.search(Question("and of the silver card"), after=before)

    assert found[0].answer_id == "silver#1"
    assert not [passage for passage in found if passage.answer_id.startswith("gold")]


async def test_a_bare_name_asks_the_same_of_another_product(passages):
    search = DocumentSearch(passages, ScriptedEmbedder())
    asked = Asked("what is the annual fee of the silver card", "silver#1")
    later = Asked("what is the annual fee of the silver card / and the gold one", "gold#1")

    assert search.leaning("and the gold one?", asked) == ("what is the annual fee of the gold card", "", "silver#1")
    assert search.leaning("and silver?", later)[0] == "what is the annual fee of the silver card"


async def test_what_was_said_is_said_again_only_to_who_asks_for_more_of_it(passages):
    search = DocumentSearch(passages, ScriptedEmbedder())
    told = Asked("how do I close my account", "closing#1")

    assert search.leaning("can I do that in the app", told)[2] == ""
    assert search.leaning("how long does it take", told)[2] == "closing#1"


async def test_a_general_passage_about_another_product_alone_is_not_said(tmp_path):
    for name, title in {"easy": "Dale Saver", "plus": "Dale Saver Plus"}.items():
        (tmp_path / f"{name}.md").write_text(f"# {title}\n\nThe {title} is simple.\n")
    rows = "".join(
        f"| {name} | {rate} % | every year on the last day of December, as long as it is open |\n"
        for name, rate in (("Dale Saver", 3), ("Dale Saver Plus", 4))
    )
    (tmp_path / "rates.md").write_text(f"# Rates\n\n| Account | Rate | Interest paid |\n|---|---|---|\n{rows}")
    ids = await found(list(read_knowledge(tmp_path, RATES)), "what rate does the dale saver pay")

    assert "rates#1" in ids
    assert "rates#2" not in ids


async def test_the_vectors_of_a_question_are_made_when_it_is_asked_and_only_once(passages):
    embedder = Counting()
    search = DocumentSearch(passages, embedder)
    await search.fill()
    looked = await looked_at("how do I close my account", ScriptedEmbedder())
    first = await search.search(looked, 5)
    before = len(embedder.texts)

    assert await search.search(looked, 5) == first
    assert len(embedder.texts) == before


async def test_deepening_changes_no_answer_and_embeds_each_passage_once(passages):
    embedder = Counting()
    search = DocumentSearch(passages, embedder)
    await search.fill()
    looked = await looked_at("how do I close my account", ScriptedEmbedder())
    first = await search.search(looked, 1)
    await search.deepen()
    await search.deepen()

    assert await search.search(looked, 1) == first
    assert len(embedder.texts) == len(set(embedder.texts))


async def test_a_second_start_embeds_only_what_the_first_did_not_get_to(passages, tmp_path):
    first, second, third = Counting(), Counting(), Counting()
    looked = await looked_at("what is the annual fee of the gold card", ScriptedEmbedder())
    for embedder, deep in ((first, False), (second, True), (third, True)):
        search = DocumentSearch(passages, KeptVectors(embedder, tmp_path))
        await search.fill()
        await search.search(looked, 5)
        if deep:
            await search.deepen()

    assert first.texts
    assert second.texts
    assert set(first.texts).isdisjoint(second.texts)
    assert third.texts == []


def test_a_figure_that_is_asked_for_and_lacking_makes_a_passage_unsure(passages):
    weights = Sureness()
    with_figure, without = (Found(passages[0], 1.0, 0.6, 0.6, lacking) for lacking in (0.0, 1.0))

    assert with_figure.certainty(weights) > 0.5 > without.certainty(weights)


async def test_an_approved_answer_in_the_same_folder_comes_before_a_passage_that_says_as_much(passages):
    fee = Approved("fee", "1", "Silver fee", "It is free.", ("what is the annual fee of the silver card",))
    knowledge = Knowledge([fee, *passages], ScriptedEmbedder(), FaissIndex, Tuning(min_score=0.0))
    await knowledge.fill()

    assert (await knowledge.search(Question("what is the annual fee of the silver card")))[0].answer_id == "fee"
    assert (await knowledge.search(Question("what is the annual fee of the gold card")))[0].answer_id == "gold#1"


@pytest.mark.data
@pytest.mark.engine
async def test_a_real_banks_products_are_answered_from_their_own_documents(policy_documents, tmp_path):
    from_which = {
        "what's the foreign transaction fee on the silver card": "Silver Rewards Card",
        "what APY does the bronze savings account pay": "Bronze Account",
        "how long do I have to pay back bnpl gold": "BNPL Gold",
        "how do I redeem the points of my eco card": "EcoCard",
    }
    embedder = MiniLm(tmp_path, lora=bank_folder() / "encoder.safetensors")
    search = DocumentSearch(read_knowledge(policy_documents, RATES), embedder)
    await search.fill()

    for text, product in from_which.items():
        found = await search.search(await looked_at(text, embedder), 3)
        assert found[0][0].about.spoken == product
        assert {passage.about.spoken for passage, _ in found} <= {product, ""}
