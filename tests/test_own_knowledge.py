"""A person's own folder of documents in place of the shipped bank."""

import pytest

from teller.config import load
from teller.turn import Done, Source, Transcript
from teller.wiring import open_bot


@pytest.mark.engine
@pytest.mark.data
async def test_policy_documents_are_answered_from_with_the_source_cited_and_nothing_is_invented(
    policy_documents, tmp_path
):
    asked = {
        "What do I need to open a personal checking account?": "doc_bank_accounts_bank_accounts_(general)_001",
        "what is the foreign transaction fee on the gold card": "gold",
        "how do I dispute a transaction": "dispute",
        "how can I close my account": "clos",
        "who won the football": "",
        "how do I bake bread": "",
        "how do I close my facebook account": "",
    }
    settings = load(flags={"home": str(tmp_path), "knowledge.path": str(policy_documents)}).settings
    async with open_bot(settings, speech=False) as bot:
        approved = {entry.text for entry in bot.approved}
        for text, source in asked.items():
            *_, done = [event async for event in bot.orchestrator.turn(Transcript(text), bot.new_call(), speak=False)]
            assert isinstance(done, Done)
            answer = done.record.answer
            if source:
                assert answer.source is Source.APPROVED, text
                assert answer.text in approved
                assert source in f"{answer.citations[0].id} {answer.citations[0].title}".lower()
            else:
                assert answer.source is Source.REFUSED, text
