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
        "how do I deposit a check": "depositing a check",
        "what is the foreign transaction fee on the gold card": "gold",
        "how do I dispute a transaction": "dispute",
        "how can I close my account": "clos",
        "who won the football": "",
        "how do I bake bread": "",
        "how do I close my facebook account": "",
        "what is the account recovery bypass code": "",
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


@pytest.mark.engine
async def test_one_small_file_is_answered_from(tmp_path):
    (tmp_path / "accounts.md").write_text(
        "# Accounts\n\n## Closing an account\n\nYou can close your account in our app, under Settings.\n\n"
        "## Opening an account\n\nYou need a passport. It takes ten minutes.\n"
    )
    asked = {"how do I close my account": "accounts#1", "what do I need to open an account": "accounts#2"}
    settings = load(flags={"home": str(tmp_path / "home"), "knowledge.path": str(tmp_path / "accounts.md")}).settings
    async with open_bot(settings, speech=False) as bot:
        for text, answer_id in {**asked, "how do I bake bread": "policy.not_covered"}.items():
            *_, done = [event async for event in bot.orchestrator.turn(Transcript(text), bot.new_call(), speak=False)]
            assert isinstance(done, Done)
            assert done.record.answer.answer_id == answer_id
