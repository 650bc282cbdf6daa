import pytest

from teller.engines.approved import ApprovedText
from teller.errors import EngineError
from teller.ports import Message, Passage, Prompt
from teller.turn import DataClass


def prompt(*texts: str) -> Prompt:
    passages = tuple(Passage(text, text, text, "1", DataClass.PUBLIC, (), 0.9) for text in texts)
    return Prompt((Message("user", "What does it cost?"),), passages)


async def pieces(*texts: str) -> list[str]:
    return [piece async for piece in ApprovedText().generate(prompt(*texts))]


async def test_the_best_passage_is_given_word_for_word_in_clauses():
    text = "Yes, it is free: no fee, ever. Call 0800 123.\nAnything else?"
    assert await pieces(text, "another") == [
        "Yes, ",
        "it is free: ",
        "no fee, ",
        "ever. ",
        "Call 0800 123.\n",
        "Anything else?",
    ]


@pytest.mark.parametrize(
    "text", ["The rate is 2.5% from 10:30, or 1,000.", " a  b ", "...", "one\n\n two . ", "Ende…  so"]
)
async def test_nothing_is_lost_or_added(text):
    assert "".join(await pieces(text)) == text


async def test_numbers_are_not_cut():
    assert await pieces("2.5% at 10:30 for £1,000.50") == ["2.5% at 10:30 for £1,000.50"]


@pytest.mark.parametrize("texts", [(), ("",)])
async def test_without_an_approved_text_there_is_no_answer(texts):
    with pytest.raises(EngineError, match="no approved text"):
        await pieces(*texts)


async def test_an_adapter_cannot_be_applied_to_it():
    with pytest.raises(EngineError, match="loans@1"):
        [piece async for piece in ApprovedText().generate(prompt("Free."), adapter="loans@1")]
