"""Markdown as passages that can be spoken."""

import pytest

from teller.banking.documents import PASSAGE_WORDS, front_matter, own_title, passages


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


@pytest.mark.parametrize(
    "markdown",
    [
        "Q: Is it free?\nA: Yes, always.\n\nQ: Is it fast?\nA: No.\n",
        "**Q1. Is it free?**\n\n**A1.** Yes, always.\n\n**Q2. Is it fast?**\n\n**A2.** No.\n",
        "**Is it free?**\nYes, always.\n\n**Is it fast?** No.\n",
        "- **Is it free?** Yes, always.\n- **Is it fast?** No.\n",
        "### Is it free?\n\nYes, always.\n\n### Is it fast?\n\nNo.\n",
    ],
)
def test_a_question_that_the_text_answers_is_the_heading_of_its_answer(markdown):
    assert list(passages(f"# FAQ\n\n{markdown}")) == [
        (("FAQ", "Is it free?"), "Yes, always."),
        (("FAQ", "Is it fast?"), "No."),
    ]


def test_a_short_table_is_one_passage_and_a_long_one_a_passage_for_each_row():
    row = "| {} | £{} | when the card has been sent to another address than yours |\n"
    head = "# Fees\n\n| Card | Fee | When |\n|---|---|---|\n"

    short = [text for _, text in passages("# Fees\n\n| Card | Fee |\n|---|---|\n| Silver | £1 |\n| Gold | £2 |\n")]
    long = [text for _, text in passages(head + "".join(row.format(name, 9) for name in ("Silver", "Gold", "Blue")))]

    assert short == ["Silver: £1. Gold: £2."]
    assert [text.split(":")[0] for text in long] == ["Silver", "Gold", "Blue"]


@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        ("Card | Fee\n--- | ---:\nGold | £5", "Gold: £5."),
        ("| Card | Fee |\n|---|---|\n| ~~Gold~~ | £5 |\n| Silver | £3 |", "Silver: £3."),
        (
            "| | Notice 60 | Notice 120 |\n|---|---|---|\n| Charge | 60 days | ✗ |",
            "Charge: Notice 60: 60 days, Notice 120 no.",
        ),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>x</td><td>3</td></tr></table>", "x: 3."),
        ("<p>It costs&nbsp;&pound;5.</p><ul><li>One</li><li>Two</li></ul>", "It costs £5. One. Two."),
        ("> [!NOTE]\n> Changed in May.[^1]\n\n[^1]: By law.", "Changed in May. By law."),
        (":::warning\nTake care.\n:::\n\n[a]: https://x.example", "Take care."),
        ("See https://www.x.example/help/ or <help@x.example>.", "See x.example/help or help@x.example."),
        ("Ask us. Éclairs cost £3. £5 is the most, e.g. £4.", "Ask us. Éclairs cost £3. £5 is the most, e.g. £4."),
        ("+++\ntitle = 'x'\n+++\nSaid.", "Said."),
    ],
)
def test_what_is_said_of_other_peoples_markdown(markdown, said):
    assert spoken(markdown) == said


def test_a_sentence_that_is_too_long_is_cut_after_a_comma():
    long = ", ".join(["every fee that we have told you of in writing"] * 12) + "."

    texts = [text for _, text in passages(long)]

    assert all(len(text.split()) <= PASSAGE_WORDS for text in texts)
    assert all(text.endswith(("writing,", "writing.")) for text in texts)


def test_a_sentence_of_a_hundred_thousand_words_is_cut_in_no_time():
    assert len(list(passages("word " * 100_000))) > 1000


def test_front_matter_is_read_as_plain_values():
    assert front_matter('---\ntitle: "Fees: all"\nAudience: staff\ntags: [a]\n---\nx') == {
        "title": "Fees: all",
        "audience": "staff",
        "tags": "[a]",
    }
    assert front_matter("---\n\nNo field of it.\n\n---\n") == {}


def test_an_address_may_have_brackets_of_its_own():
    assert spoken("See [the fees](https://bank.example/fees_(2026)) first, ![logo](logo_(1).png) please.") == (
        "See the fees first, please."
    )
