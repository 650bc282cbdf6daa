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
