"""Reading what the bank has approved, and saying exactly what is wrong with it."""

import json
from datetime import date
from pathlib import Path

import pytest

from teller.banking.knowledge import knowledge_version, read_knowledge
from teller.banking.products import load_rates
from teller.errors import KnowledgeError
from teller.turn import DataClass

RATES = """
[loan_apr]
value = "6.5"
unit = "percent"
label = "Loan"
version = 3
since = 2026-04-01
"""
ANSWER = """[[answer]]
id = "loans.rate"
version = 2
class = "product"
title = "Loan rate"
asks = ["what does a loan cost", "loan rate"]
text = "Our loans cost {loan_apr} APR."
"""


def read(folder: Path, rates: str = RATES):
    return read_knowledge(folder, load_rates(rates, "rates.toml"))


def test_rates_are_filled_in_and_stamped(tmp_path):
    (tmp_path / "loans.toml").write_text(ANSWER)

    (answer,) = read(tmp_path)

    assert answer.text == "Our loans cost 6.5% APR."
    assert answer.stamps == ("rate:loan_apr@3",)
    assert answer.data_class is DataClass.PRODUCT


def test_a_change_of_rate_changes_answer_and_versions(tmp_path):
    (tmp_path / "loans.toml").write_text(ANSWER)
    before = read(tmp_path)
    after = read(tmp_path, RATES.replace("6.5", "6.9").replace("version = 3", "version = 4"))

    assert after[0].text == "Our loans cost 6.9% APR."
    assert after[0].version != before[0].version
    assert after[0].stamps == ("rate:loan_apr@4",)
    assert knowledge_version(after) != knowledge_version(before)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"id": "a", "title": "t", "content": "x"}\n{broken\n', r"a\.jsonl:2: not JSON"),
        ("a.jsonl", '{"id": "a", "text": "x", "n": ' + "1" * 5000 + "}", r"a\.jsonl:1: JSON with a number too long"),
        ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: JSON with .* lists too deep"),
        ("a.jsonl", '["a"]\n', r"a\.jsonl:1: an object was expected"),
        ("a.jsonl", '{"id": "a b", "content": "x"}\n', r"a\.jsonl:1: an id has no spaces"),
        ("a.jsonl", '{"id": "a", "title": "t", "content": "  "}\n', r"a\.jsonl:1: 'content' is missing or empty"),
        ("a.jsonl", '{"id": "a", "asks": [], "text": "x"}\n', r"a\.jsonl:1: 'asks' must be a list"),
        (
            "a.jsonl",
            '{"id": "a", "asks": ["q"], "text": "x", "class": "customer"}\n',
            r"a\.jsonl:1: 'class' is 'customer'",
        ),
        (
            "a.jsonl",
            '{"id": "a", "content": "x"}\n\n{"id": "a", "content": "y"}\n',
            r"a\.jsonl:3: the id 'a' is used already at a\.jsonl:1",
        ),
        ("a.toml", ANSWER.replace("loan_apr", "loan_apy"), r"a\.toml:1: .*loan_apy"),
        ("a.toml", ANSWER + "\n" + ANSWER, r"a\.toml:9: the id 'loans\.rate' is used already at a\.toml:1"),
        ("a.toml", "[[answer]\n", r"a\.toml:1: not TOML"),
        ("a.toml", "x = 1\n", r"a\.toml:1: no \[\[answer\]\]"),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)

    with pytest.raises(KnowledgeError, match=said):
        read(tmp_path)


def test_text_that_is_not_utf8_is_named_with_the_line(tmp_path):
    (tmp_path / "a.md").write_bytes(b"# Fine\n\nfine\nbad \xff here\n")

    with pytest.raises(KnowledgeError, match=r"a\.md:4: not UTF-8"):
        read(tmp_path)


def test_an_empty_or_missing_folder_says_so(tmp_path):
    with pytest.raises(KnowledgeError, match="holds no"):
        read(tmp_path)
    with pytest.raises(KnowledgeError, match="no such knowledge"):
        read(tmp_path / "nowhere")
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(KnowledgeError, match="no answer and no document"):
        read(tmp_path)


def test_markdown_files_in_subfolders_are_read(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "cards.md").write_text("# Lost card\n\nCall us.\n")

    (passage,) = read(tmp_path)

    assert (passage.id, passage.title, passage.text) == ("deep/cards#1", "Lost card", "Call us.")


def test_what_calls_itself_internal_is_not_read_to_callers(tmp_path):
    (tmp_path / "a.md").write_text("# Internal: Fraud scores\n\nThree locks score 5.\n")
    (tmp_path / "b.md").write_text("# Bypass codes (internal use only)\n\nThe code is 123.\n")
    (tmp_path / "c.md").write_text("# Internal transfers\n\nThey are free.\n")

    assert [passage.title for passage in read(tmp_path)] == ["Internal transfers"]


def test_a_passage_is_named_after_its_product_if_it_does_not_say_so(tmp_path):
    (tmp_path / "silver.md").write_text(
        "# Silver card\n\nThe annual fee is £10.\n\nThe Silver card is made of steel.\n"
    )
    (tmp_path / "gold.md").write_text("# Gold card\n\n## Fees\n\nThe annual fee is £20.\n")

    gold, silver = read(tmp_path)

    assert gold.text == "Gold card: The annual fee is £20."
    assert silver.text == "The annual fee is £10. The Silver card is made of steel."


def test_a_short_passage_says_what_it_is_about(tmp_path):
    (tmp_path / "a.md").write_text(
        "# Gold card\n\n## Cash machine limit\n\n£750 a day.\n\n## Fees\n\nThe annual fee is £20.\n"
        "\n## Is it free abroad?\n\nYes.\n"
    )
    (tmp_path / "b.md").write_text("# Silver card\n\nIt is free.\n")

    limit, fee, abroad, _ = read(tmp_path)

    assert limit.text == "Gold card, Cash machine limit: £750 a day."
    assert fee.text == "Gold card: The annual fee is £20."
    assert (abroad.text, abroad.asks) == ("Gold card: Yes.", ("Is it free abroad?",))


def test_items_that_begin_small_come_after_their_heading(tmp_path):
    item = "- a lower payment for up to six months, if that is what you need most\n"
    (tmp_path / "a.md").write_text(f"# Arrears\n\n## What we can do\n\n{item}{item}")

    (passage,) = read(tmp_path)

    assert passage.text.startswith("What we can do: a lower payment")


def test_an_internal_section_of_a_document_is_not_read_to_callers(tmp_path):
    (tmp_path / "a.md").write_text("# Cash\n\nAsk us.\n\n## Internal: codes\n\nThe code is 7719.\n")

    assert [passage.text for passage in read(tmp_path)] == ["Ask us."]


def test_what_was_in_force_on_a_day_is_read(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"id": "a", "title": "Fees (2025)", "text": "£3."}\n{"id": "b", "title": "Fees (2026)", "text": "£8."}\n'
    )

    texts = [read_knowledge(tmp_path, load_rates(RATES, "r"), date(year, 7, 1))[0].text for year in (2025, 2026)]

    assert texts == ["£3.", "£8."]


def test_every_word_that_is_said_counts_in_the_version(tmp_path):
    (tmp_path / "silver.md").write_text("# Silver card\n\nThe annual fee is £10.\n")
    alone = read(tmp_path)
    (tmp_path / "gold.md").write_text("# Gold card\n\nThe annual fee is £20.\n")

    silver = read(tmp_path)[1]

    assert (alone[0].text, silver.text) == ("The annual fee is £10.", "Silver card: The annual fee is £10.")
    assert alone[0].version != silver.version
    assert silver.stamps == (f"document:silver@{silver.version}",)


@pytest.mark.data
def test_698_documents_of_a_real_bank_load(policy_documents):
    passages = read(policy_documents)
    written = [json.loads(line) for line in (policy_documents / "documents.jsonl").read_text().splitlines()]
    for_callers = {one["id"] for one in written if not one["title"].startswith(("Internal:", "(Internal)"))}

    assert {passage.id.rsplit("#", 1)[0] for passage in passages} <= for_callers
