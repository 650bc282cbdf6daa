"""Which product a document is about, and which ones a question names."""

import pytest

from teller.banking.document_names import Products
from teller.banking.document_subjects import subjects_of
from teller.banking.documents import Document

LINES = {
    "silver_card": ("Silver Card", "Your Silver Card is free."),
    "gold_card": ("Gold Card", "With your Gold Card you pay nothing abroad."),
    "business_gold_card": ("Business Gold Card", "Your Gold Card for firms has a higher limit."),
    "gold_plus_card": ("Gold Plus Card", "Your Gold Plus Card has a lounge."),
    "gold_account": ("Gold Account", "Your Gold Account pays interest."),
    "ecocard": ("EcoCard", "Your EcoCard plants trees."),
    "transfers": ("Sending money", "You can send money to friends, whatever your card."),
}
DOCUMENTS = [
    Document(
        f"{key}_{number:03}", f"{name}: part {number}" if key != "transfers" else f"Sending money, part {number}", text
    )
    for key, (name, text) in LINES.items()
    for number in (1, 2)
]
SUBJECTS = subjects_of(DOCUMENTS)
PRODUCTS = Products(SUBJECTS.values())


def asked(text: str) -> set[str]:
    return {subject.spoken for subject in PRODUCTS.asked(text)}


def test_a_family_of_documents_is_about_one_product():
    assert SUBJECTS["silver_card_001"] == SUBJECTS["silver_card_002"]
    assert SUBJECTS["silver_card_001"].spoken == "Silver Card"
    assert SUBJECTS["gold_plus_card_001"].names == {"gold", "plus"}


def test_a_document_that_names_no_product_is_about_none():
    assert SUBJECTS["transfers_001"].names == frozenset()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("is the silver card free", {"Silver Card"}),
        ("what does the gold card cost", {"Gold Card"}),
        ("what does the gold account cost", {"Gold Account"}),
        ("the business gold card", {"Business Gold Card"}),
        ("the lounge with gold plus", {"Gold Plus Card"}),
        ("does my eco card plant trees", {"EcoCard"}),
        ("can I move from the silver card to the gold card", {"Silver Card", "Gold Card"}),
        ("how do I send money", set()),
        ("does a card cost anything", set()),
    ],
)
def test_a_question_means_the_products_that_fit_its_words_best(text, names):
    assert asked(text) == names


def test_what_stands_where_a_name_would_is_seen():
    assert PRODUCTS.named_like("is the titanium card free") == ("titanium",)
    assert PRODUCTS.named_like("is the gold card free") == ()
    assert PRODUCTS.named_like("can I have 2 cards, and how many cards at most") == ()


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("the gold card, please", True),
        ("and what about the gold card", True),
        ("what is the gold card", False),
        ("gold card fees", False),
        ("please", False),
    ],
)
def test_a_bare_name_asks_for_nothing(text, bare):
    assert PRODUCTS.is_bare(text) is bare


def test_what_a_question_asks_of_a_product_is_left_when_its_name_is_taken_away():
    assert PRODUCTS.nameless("is the silver card free abroad") == "is the free abroad"
    assert PRODUCTS.nameless("how do I send money") == "how do I send money"


def test_names_tell_titles_apart_that_running_text_never_mentions():
    found = subjects_of([Document("a", "Silver card", "It costs £5."), Document("b", "Gold card", "It costs £9.")])

    assert (found["a"].names, found["b"].names) == ({"silver"}, {"gold"})
    assert found["b"].spoken == "Gold card"


def test_the_name_of_the_bank_itself_is_no_products():
    documents = [Document(f"{what}_1", f"Rho Bank {what}", f"At Rho Bank {what} are free.") for what in "abcde"]

    assert not any(subject.names for subject in subjects_of(documents).values())


def test_words_that_tell_products_apart_leave_out_what_names_end_in():
    assert {"silver", "gold", "plus", "business", "ecocard"} <= PRODUCTS.telling_words()
    assert "card" not in PRODUCTS.telling_words()


def subjects(titles: dict[str, str], texts: dict[str, str] | None = None) -> dict[str, set[str]]:
    documents = [Document(key, title, (texts or {}).get(key, "It is free.")) for key, title in titles.items()]
    return {key: set(subject.names) for key, subject in subjects_of(documents).items()}


def test_a_folder_names_a_product_only_if_a_document_is_titled_like_it():
    found = subjects(
        {
            "savings/saver": "Savings at Dale",
            "mortgages/fees": "Mortgages at Dale",
            "cards/gold-card/fees": "What it costs",
            "cards/gold-card/about": "Gold card",
            "cards/silver-card/about": "Silver card",
            "service/pin": "Forgotten PIN",
            "service/address": "New address",
            "service/complaints": "Complaints",
            "service/fraud": "Fraud",
        }
    )

    assert found["savings/saver"] == {"savings"}
    assert found["mortgages/fees"] == {"mortgages"}
    assert found["cards/gold-card/fees"] == {"gold"}
    assert subjects({"savings/a": "Opening", "savings/b": "Closing"}) == {"savings/a": set(), "savings/b": set()}


def test_a_word_that_most_names_begin_with_is_none_of_theirs():
    titles = {"saver": "Dale Saver", "card": "Dale Flex card", "youth": "Dale Youth", "limits": "Saver limits"}
    text = "With the Dale Saver, the Dale Flex card and the Dale Youth account you get a Saver."

    found = subjects(titles, dict.fromkeys(titles, text))

    assert not any("dale" in names for names in found.values())


def test_the_word_by_which_one_name_is_longer_than_another_tells_them_apart():
    titles = {"easy": "Dale Saver", "plus": "Dale Saver Plus"}
    documents = [Document(key, title, f"The {title} pays interest.") for key, title in titles.items()]
    products = Products(subjects_of(documents).values())

    assert {one.spoken for one in products.asked("what does the dale saver pay")} == {"Dale Saver"}
    assert {one.spoken for one in products.asked("what does the dale saver plus pay")} == {"Dale Saver Plus"}


def test_numbers_tell_names_apart_and_days_do_not():
    documents = [Document(f"notice-{days}", f"Notice {days}", "Tell us.") for days in (60, 120)]
    products = Products(subjects_of(documents).values())

    assert {one.spoken for one in products.asked("the charge on notice 120")} == {"Notice 120"}
    assert products.asked("can I have it in 60 days") == frozenset()
    assert not any(word.isdigit() for word in products.telling_words())


def test_months_are_no_names():
    texts = dict.fromkeys(("a", "b"), "From January you pay in January.")

    assert subjects({"a": "Fees from January", "b": "Fees until December"}, texts) == {"a": set(), "b": set()}


def test_a_word_of_a_longer_name_that_others_use_as_any_word_names_nothing_alone():
    documents = [
        Document("bonds", "Fixed Rate Bonds", "Money in the Fixed Rate Bonds stays there, as in our Fixed Rate Bonds."),
        Document("mortgages", "Mortgages", "You may overpay a fixed mortgage."),
    ]
    products = Products(subjects_of(documents).values())

    assert products.asked("can I overpay my fixed mortgage") == frozenset()
    assert {one.spoken for one in products.asked("when does the fixed rate bond end")} == {"Fixed Rate Bonds"}


def test_several_of_a_product_are_that_product():
    assert asked("can I have two ecocards") == {"EcoCard"}


def test_a_topic_of_a_product_is_no_rival_of_it_and_a_card_is_one_of_an_account():
    titles = {"saver": "Saver", "limits": "Saver limits", "card": "Gold Card", "account": "Gold Account"}
    texts = {
        "saver": "The Saver pays 3 %, and a Saver is free.",
        "limits": "Of limits the Saver has one.",
        "card": "Your Gold Card is free.",
        "account": "Your Gold Account is free.",
        "other": "Your Blue Card and your Blue Account are free.",
    }
    titles |= {"other": "Blue Card", "another": "Blue Account"}
    found = subjects_of([Document(key, title, texts.get(key, texts["other"])) for key, title in titles.items()])
    products = Products(found.values())

    assert not products.are_rivals(found["saver"], found["limits"])
    assert products.are_rivals(found["card"], found["account"])


@pytest.mark.parametrize(
    ("before", "named", "instead"),
    [
        ("is the silver card free", "and the gold one?", "is the gold card free"),
        ("is the silver card free", "the gold account", "is the gold account free"),
        ("what is the fee", "the gold card, please", "what is the fee gold card"),
    ],
)
def test_a_bare_name_stands_in_place_of_the_one_before(before, named, instead):
    assert PRODUCTS.instead(before, named) == instead
