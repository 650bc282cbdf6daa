"""Markdown as passages that can be spoken."""

import pytest

from teller.banking.documents import PASSAGE_WORDS, own_title, passages


def spoken(markdown: str) -> str:
    return " ".join(text for _, text in passages(markdown))


def test_passages_never_cross_a_heading_and_carry_the_headings_that_lead_to_them():
    found = list(
        passages("# Cards\n\nAll about cards.\n\n## Fees\n\nNone.\n\n### Abroad\n\n2 %.\n\n## Terms\n\nLong.\n")
    )

    assert found == [
        (("Cards",), "All about cards."),
        (("Cards", "Fees"), "None."),
        (("Cards", "Fees", "Abroad"), "2 %."),
        (("Cards", "Terms"), "Long."),
    ]


def test_a_long_section_is_split_between_sentences():
    long = " ".join(f"Sentence {n} has exactly six words." for n in range(40))

    texts = [text for _, text in passages(f"# Terms\n\n{long}\n")]

    assert all(len(text.split()) <= PASSAGE_WORDS and text.endswith(".") for text in texts)
    assert " ".join(texts) == long


@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        ("Intro with **bold** and `code`.", "Intro with bold and code."),
        ("One sentence that an editor\nhas wrapped.", "One sentence that an editor has wrapped."),
        ("- Cash: [£3](x)\n- Abroad (EU)\n", "Cash: £3. Abroad (EU)."),
        ("- an item that\n  goes on\n- [ ] another", "an item that goes on. another."),
        ("1. First\n2. Then", "First. Then."),
        ("- a passport, or\n- a licence", "a passport, or a licence."),
        ("**Cash** - we take it.\n**Cheques:** we do not.", "Cash: we take it. Cheques: we do not."),
        ("8 + 7 = 15 rebates", "8 + 7 = 15 rebates."),
        ("Use open_bank_account_4821 with _care_.", "Use open_bank_account_4821 with care."),
        ("First line<br>second <b>line</b>. <!-- not said -->", "First line second line."),
        ("![logo](logo.png)\n\n> quoted", "quoted."),
        ("---\ntitle: x\n---\nSaid.", "Said."),
        ("Before.\n\n```\nGET /fees\n```\n\nAfter.", "Before. After."),
        ("| Item | Value |\n|---|---|\n| APY | 2.0% |", "APY: 2.0%."),
        ("| Card | Fee | Limit |\n|:--|--:|---|\n| Gold | £5 | £300 |", "Gold: Fee £5, Limit £300."),
    ],
)
def test_what_is_said_of_markdown(markdown, said):
    assert spoken(f"# Title\n\n{markdown}\n") == said


def test_an_underlined_line_is_a_heading():
    assert list(passages("Cards\n=====\n\nFees\n----\nNone.\n")) == [(("Cards", "Fees"), "None.")]


def test_a_sentence_with_a_gap_that_nobody_filled_is_not_said():
    assert spoken("A fee of [value not available] is charged. It is due at once.") == "It is due at once."


def test_a_line_that_announces_what_follows_is_never_left_alone():
    before = " ".join(["word"] * 60)
    listed = "- the first of them, which is rather long to say\n- the second"

    texts = [text for _, text in passages(f"{before}.\n\nYou need two things:\n\n{listed}\n\nThat leaves:\n")]

    assert texts[1].startswith("You need two things: the first")
    assert not texts[-1].endswith(":")


def test_the_own_title_is_the_outermost():
    assert own_title("# Lost card\n\n## At home\n\nCall us.") == "Lost card"
    assert own_title("Call us.") == ""
