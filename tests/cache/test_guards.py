import pytest

from teller.cache.guards import Guards, indifferent_kinds
from teller.turn import MissReason, Question, Value, ValueKind

GUARDS = Guards([("activate", "turn off"), ("switch in", "switch out")])


def found(asked: Question | str, stored: Question | str):
    sides = [Question(side) if isinstance(side, str) else side for side in (asked, stored)]
    forth, back = GUARDS.difference(*map(GUARDS.read, sides)), GUARDS.difference(*map(GUARDS.read, sides[::-1]))
    assert (forth is None) == (back is None), "a difference is one from both sides"
    return forth


@pytest.mark.parametrize(
    ("asked", "stored", "reason"),
    [
        ("block my card", "unblock my card", MissReason.POLARITY_DIFFERS),
        ("how do I increase my limit", "how do I lower my limit", MissReason.POLARITY_DIFFERS),
        ("is it safe to pay by card", "is it not safe to pay by card", MissReason.POLARITY_DIFFERS),
        ("I can pay abroad", "I can't pay abroad", MissReason.POLARITY_DIFFERS),
        ("is an honest answer needed", "is a dishonest answer needed", MissReason.POLARITY_DIFFERS),
        ("how can I be more patient", "how can I be less patient", MissReason.POLARITY_DIFFERS),
        ("activate the alerts", "turn the alerts off", MissReason.POLARITY_DIFFERS),
        (
            "switch in a standing order in the app",
            "switch out a standing order in the app",
            MissReason.POLARITY_DIFFERS,
        ),
        ("what do I owe before the holiday", "what do I owe after the holiday", MissReason.POLARITY_DIFFERS),
        ("is Ann a nurse", "did Ann use to be a nurse", MissReason.POLARITY_DIFFERS),
        ("can I close my account", "must I close my account", MissReason.POLARITY_DIFFERS),
        ("move money from savings to current", "move money from current to savings", MissReason.ROLES_DIFFER),
        ("did Bo call Cy", "did Cy call Bo", MissReason.ROLES_DIFFER),
        ("did Bo call Cy", "was Bo called by Cy", MissReason.ROLES_DIFFER),
        ("was Bo paid by Cy", "was Cy paid by Bo", MissReason.ROLES_DIFFER),
        ("can he see her account", "can she see his account", MissReason.ROLES_DIFFER),
        ("can I pay Ann Kerr", "can I pay Tom Kerr", MissReason.VALUES_DIFFER),
        ("can't I swim here", "can I swim here", MissReason.POLARITY_DIFFERS),
        ("can I order with a code", "can I order without a code", MissReason.POLARITY_DIFFERS),
        ("why did the upload work", "why did the upload fail to work", MissReason.POLARITY_DIFFERS),
        ("do I pay if I lose it", "do I pay unless I lose it", MissReason.POLARITY_DIFFERS),
        ("keep sending me letters", "stop sending me letters", MissReason.POLARITY_DIFFERS),
        ("adults except nurses may come", "adults and nurses may come", MissReason.POLARITY_DIFFERS),
        ("is the deposit refundable", "is the deposit non-refundable", MissReason.POLARITY_DIFFERS),
        ("I do not want to buy it", "I want to sell it", MissReason.POLARITY_DIFFERS),
        ("the earliest arrival of the bus", "the latest departure of the bus", MissReason.POLARITY_DIFFERS),
        ("what if I overpay", "what if I underpay", MissReason.POLARITY_DIFFERS),
        ("is a harmful mistake", "is a harmless mistake", MissReason.POLARITY_DIFFERS),
        ("how do I sign in", "how do I log out", MissReason.POLARITY_DIFFERS),
        ("is it at most ten miles", "is it no less than ten miles", MissReason.POLARITY_DIFFERS),
        ("is breakfast served", "is dinner served", MissReason.VALUES_DIFFER),
        ("do you deliver to norway", "do you deliver to chile", MissReason.VALUES_DIFFER),
        ("will you ring in the morning", "will you ring in the evening", MissReason.VALUES_DIFFER),
        ("can my uncle drive it", "can my boss drive it", MissReason.VALUES_DIFFER),
        ("who visits the museum", "when is the museum visited", MissReason.ROLES_DIFFER),
        ("when does the parcel arrive", "where does the parcel arrive", MissReason.ROLES_DIFFER),
        ("how often may I swim", "how long may I swim", MissReason.ROLES_DIFFER),
        ("what is a deductible", "how do I get a deductible", MissReason.ROLES_DIFFER),
        ("what is a deductible", "what is my deductible", MissReason.ROLES_DIFFER),
        ("how do I repair the boat", "was the boat repaired", MissReason.ROLES_DIFFER),
        ("was the boat repaired", "will the boat be repaired", MissReason.POLARITY_DIFFERS),
        ("do you ship during the strike", "do you ship after the strike", MissReason.POLARITY_DIFFERS),
        ("can I wash all of my shirts", "can I wash some of my shirts", MissReason.VALUES_DIFFER),
        ("may only nurses enter", "may nurses enter", MissReason.VALUES_DIFFER),
        ("may I bring tea and cake", "may I bring tea or cake", MissReason.POLARITY_DIFFERS),
        ("what is my limit", "what is my sister's limit", MissReason.ROLES_DIFFER),
        ("what is my address", "what is your address", MissReason.ROLES_DIFFER),
        ("is it as old as the church", "is it older than the church", MissReason.POLARITY_DIFFERS),
        ("my tailor owes me a coat", "I owe my tailor a coat", MissReason.ROLES_DIFFER),
        ("can you ring me", "can I ring you", MissReason.ROLES_DIFFER),
        ("does the cook pay the waiter's tax", "does the waiter pay the cook's tax", MissReason.ROLES_DIFFER),
        ("I was called by the cook", "I called the cook", MissReason.ROLES_DIFFER),
        ("are all bakers cooks", "are all cooks bakers", MissReason.ROLES_DIFFER),
        ("is oak harder than pine", "is pine harder than oak", MissReason.ROLES_DIFFER),
        ("is oak harder than pine", "is oak softer than pine", MissReason.POLARITY_DIFFERS),
        ("is the cook taller than me", "am I taller than the cook", MissReason.ROLES_DIFFER),
        ("is oak less hard than pine", "is oak harder than pine", MissReason.POLARITY_DIFFERS),
        ("swap my coat for hers", "swap her coat for mine", MissReason.ROLES_DIFFER),
        (
            "send it to the cook and not to the baker",
            "send it to the baker and not to the cook",
            MissReason.ROLES_DIFFER,
        ),
        ("who did the baker call", "who called the baker", MissReason.ROLES_DIFFER),
        ("who may enter the tower", "may I enter the tower", MissReason.ROLES_DIFFER),
        ("when can I swim", "can I swim", MissReason.ROLES_DIFFER),
        ("how do I mend the boat", "do I have to mend the boat", MissReason.ROLES_DIFFER),
        ("how is bread baked", "when is bread baked", MissReason.ROLES_DIFFER),
        ("I live in a tower", "I lived in a tower", MissReason.POLARITY_DIFFERS),
        ("I was going to sell the boat", "I sold the boat", MissReason.POLARITY_DIFFERS),
        ("is he a baker", "was he a baker", MissReason.POLARITY_DIFFERS),
        ("any of the boats is new", "all of the boats are new", MissReason.VALUES_DIFFER),
        ("I need either coat", "I need both coats", MissReason.VALUES_DIFFER),
        ("isn't bread bad for ducks", "is bread good for ducks", MissReason.POLARITY_DIFFERS),
        ("when does flight KX249 land", "when does flight KX294 land", MissReason.VALUES_DIFFER),
        ("where do I drop my coat", "where do I pick up my coat", MissReason.POLARITY_DIFFERS),
        ("is she ill", "was she ill", MissReason.POLARITY_DIFFERS),
        ("", "is it open", MissReason.VALUES_DIFFER),
        ("the case for a tower", "the case against a tower", MissReason.POLARITY_DIFFERS),
        ("may I paddle in the lake", "may I paddle across the lake", MissReason.POLARITY_DIFFERS),
        ("who is the mayor of Oslo", "who was the mayor of Oslo", MissReason.POLARITY_DIFFERS),
        ("which coin does Chad mint", "which coin did Chad mint", MissReason.POLARITY_DIFFERS),
        ("who is the mayor of Oslo", "who will be the mayor of Oslo", MissReason.POLARITY_DIFFERS),
        ("how have the tides turned", "how will the tides turn", MissReason.POLARITY_DIFFERS),
        ("can I put a boat into the lake", "can I put a boat out of the lake", MissReason.POLARITY_DIFFERS),
        ("can dogs eat bread", "should dogs eat bread", MissReason.POLARITY_DIFFERS),
        ("which coats should I bring", "which coats must I bring", MissReason.POLARITY_DIFFERS),
        ("who rowed in every race", "who rowed in any race", MissReason.POLARITY_DIFFERS),
        ("do most ducks fly", "do all ducks fly", MissReason.POLARITY_DIFFERS),
        ("where is the coat that I sent", "where is the coat that I was sent", MissReason.ROLES_DIFFER),
        ("do cousins of the cook pay the tailor", "do cousins of the tailor pay the cook", MissReason.ROLES_DIFFER),
        ("do I eat before I swim", "do I swim before I eat", MissReason.ROLES_DIFFER),
        ("does the cook in Rome pay the tailor", "does the tailor in Rome pay the cook", MissReason.ROLES_DIFFER),
        ("can the son of the cook pay a tailor", "can the son pay a tailor of the cook", MissReason.ROLES_DIFFER),
        ("can guests with a boat rent a tower", "can guests rent a tower with a boat", MissReason.ROLES_DIFFER),
        ("on the same day can I turn milk to tea", "on the same day can I turn tea to milk", MissReason.ROLES_DIFFER),
        (
            "can a cook at the same time pay a tailor",
            "can a tailor at the same time pay a cook",
            MissReason.ROLES_DIFFER,
        ),
    ],
)
def test_a_difference_that_changes_the_answer_is_found(asked, stored, reason):
    difference = found(asked, stored)
    assert difference is not None
    assert difference.reason is reason
    assert " against " in difference.found


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("how do I block my card", "what do I do to block my card"),
        ("I do not know how to block my card", "how do I block my card"),
        ("how can I be more hopeful", "how can I be less hopeless"),
        ("my card is not blocked", "my card is unblocked"),
        ("did Bo call Cy", "was Cy called by Bo"),
        ("is Ann a nurse and a baker", "is Ann a baker and a nurse"),
        ("are cats larger than mice", "what is larger, cats or mice"),
        ("Can I Pay By Card", "can i pay by card"),
        ("the card used to pay was blocked", "the card used to pay was frozen"),
        ("the window won't open", "the window fails to open"),
        ("can I leave if I haven't paid", "can I leave unless I've paid"),
        ("all but the cook may go", "everyone except the cook may go"),
        ("I have yet to hear from you", "I have not heard from you"),
        ("I don't remember the code", "I forgot the code"),
        ("is it at most ten miles", "is it no more than ten miles"),
        ("no wait, where is the lift", "where is the lift"),
        ("is oak harder than pine", "is pine softer than oak"),
        ("the dog bit me", "I was bitten by the dog"),
        ("my tailor was thanked by me", "I thanked my tailor"),
        ("which coats are sold by you", "which coats do you sell"),
        ("if it rains, is the match off", "is the match off if it rains"),
        ("what do I do when I land", "when I land what do I do"),
        ("my coat is lost", "I lost my coat"),
        ("is exchanging coats allowed", "are coat exchanges allowed"),
        ("do coats sell to Rome from Oslo", "do coats sell from Oslo to Rome"),
        ("do you go to NYC", "do you go to New York City"),
        ("when does the parcel arrive", "how soon does the parcel arrive"),
        ("how come the lift is broken", "why is the lift broken"),
        ("did I pay for the coat", "have I paid for the coat"),
        ("my brother's coat was stolen", "somebody stole my brother's coat"),
        ("can all of my friends come", "can all my friends come"),
        ("is oak less hard than pine", "is pine harder than oak"),
        ("the cook is taller than me", "I am shorter than the cook"),
        ("I have already paid the cook", "I have paid the cook already"),
        ("she gave him the coat", "the coat was given to him by her"),
        ("not all boats float", "some boats do not float"),
        ("does the tour include lunch", "is lunch included in the tour"),
        ("how soon can I swim", "when can I swim"),
        ("how can I mend a coat", "how should I mend a coat"),
        ("is there soup on the menu", "is there soup in the menu"),
        ("why was my coat returned", "why is my coat returned"),
        ("can I in the tower see my boat", "can I see my boat in the tower"),
        ("what in Rome can I do for free", "what can I do for free in Rome"),
        ("look up the tide", "look the tide up"),
        ("turn off the lamp on my boat", "turn the lamp on my boat off"),
        ("while a coat is wet, can I iron it", "can I iron a coat while it is wet"),
        ("once the dough has risen, how long can it rest", "how long can the dough rest once it has risen"),
        ("did Ann ever meet Bo", "did Bo ever meet Ann"),
        ("may I mix milk with tea", "may I mix tea with milk"),
        ("is it better to rent a boat or buy a coat", "is it better to buy a coat or rent a boat"),
        ("will my coat be wet tomorrow", "is my coat wet tomorrow"),
        ("does Chad share a border with Niger", "does Niger share a border with Chad"),
        ("what is the least expensive boat", "what is the cheapest boat"),
    ],
)
def test_the_same_request_in_other_words_passes(asked, stored):
    assert found(asked, stored) is None


@pytest.mark.parametrize(
    ("asked", "stored", "same"),
    [
        ("is oak harder than pine", "is pine softer than oak", True),
        ("how can I be more hopeful", "how can I be less hopeless", True),
        ("is the lake not deep", "is the lake shallow", True),
        ("can I see my boat in the tower", "can I in the tower see my boat", True),
        ("did Ann meet Bo", "did Bo meet Ann", True),
        ("is oak harder than pine", "is pine harder than oak", False),
        ("how can I be more hopeful", "how can I be less hopeful", False),
        ("how can I open it", "how can I close it", False),
        ("is the lake deep", "is the pond deep", False),
        ("does Bo pay Ann", "does Ann pay Bo", False),
        ("is oak harder than old pine", "is pine softer than new oak", False),
        ("is oak in Rome harder than pine in Oslo", "is pine in Rome softer than oak in Oslo", False),
        ("can a dog that is not big chase a cat", "can a cat that is small chase a dog", False),
        ("does ale use more barley than beer", "does beer use less barley than ale", True),
        ("can Ann pay Bo and Cy", "can Cy and Ann pay Bo", False),
    ],
)
def test_what_rules_prove_to_be_the_same_is_no_more_and_no_less_than_that(asked, stored, same):
    readings = [GUARDS.read(Question(text)) for text in (asked, stored)]
    assert GUARDS.proves_same(*readings) is same
    assert GUARDS.proves_same(*readings[::-1]) is same


def test_typed_values_must_be_equal_in_kind_and_canonical_form():
    def with_value(text: str, canonical: str) -> Question:
        return Question(text, (Value(ValueKind.MONEY, canonical, 0, 1),))

    assert found(with_value("pay 10 pounds", "10.00 GBP"), with_value("pay ten pounds", "10.00 GBP")) is None
    other = found(with_value("pay 10 pounds", "10.00 GBP"), with_value("pay 12 pounds", "12.00 GBP"))
    assert other is not None
    assert other.reason is MissReason.VALUES_DIFFER
    assert "money 10.00 GBP against money 12.00 GBP" in other.found
    assert found("pay ten", with_value("pay ten", "10.00 GBP")) is not None, "equal words read as other values"


def test_a_person_who_is_named_in_both_is_no_difference_where_only_one_side_reads_a_name():
    bo = Value(ValueKind.PERSON, "bo", 18, 20)
    assert found(Question("was Ann phoned by Bo", (bo,)), "did Bo phone Ann") is None
    other = found(Question("was Ann phoned by Bo", (bo,)), "did Cy phone Ann")
    assert other is not None
    assert other.reason is MissReason.VALUES_DIFFER


def test_a_bare_number_is_no_amount_of_money():
    def valued(kind: ValueKind, canonical: str) -> Question:
        return Question("is that the limit", (Value(kind, canonical, 0, 1),))

    for amount in ("250.00 GBP", "250.50 GBP", "250.00 USD"):
        assert found(valued(ValueKind.COUNT, "250"), valued(ValueKind.MONEY, amount)) is not None


def test_a_name_is_the_same_with_the_ending_of_an_owner():
    named = Question("when was Bo born", (Value(ValueKind.PERSON, "bo", 9, 11),))
    assert found(named, "when is Bo's day of birth") is None


def test_a_count_that_the_other_side_says_in_words_is_no_difference():
    def counted(text: str, *canonical: str) -> Question:
        return Question(text, tuple(Value(ValueKind.COUNT, count, 0, 1) for count in canonical))

    assert found(counted("I paid two times for one coat", "2", "1"), "I paid twice for the coat") is None
    assert found(counted("my two coats are gone", "2"), "both of my coats are gone") is None
    assert found(counted("one coat is gone", "1"), "both of my coats are gone") is not None
    assert found(counted("I paid three times", "3"), "I paid twice") is not None


def test_what_happened_days_ago_has_lasted_for_days():
    def timed(text: str, kind: ValueKind, canonical: str) -> Question:
        return Question(text, (Value(kind, canonical, 0, 1),))

    ago = timed("I ordered a coat three days ago", ValueKind.DATE, "rel:-P3D")
    assert found(ago, timed("it is 3 days since I ordered a coat", ValueKind.DURATION, "P3D")) is None
    assert found(ago, timed("it is 4 days since I ordered a coat", ValueKind.DURATION, "P4D")) is not None


def test_a_word_with_a_capital_within_a_value_is_no_name():
    day = "Are you open on Boxing Day"
    boxing = Question(day, (Value(ValueKind.DATE, "--12-26", day.index("Boxing"), len(day)),))
    spoken = Question("are you open on 26 Dec", (Value(ValueKind.DATE, "--12-26", 16, 22),))
    assert found(boxing, spoken) is None


def test_a_word_for_a_place_or_time_of_day_decides_unless_the_answer_was_given_across_them():
    asked, stored = (GUARDS.read(Question(f"my coat was lost in {place}")) for place in ("norway", "chile"))
    assert GUARDS.difference(asked, stored) is not None
    assert GUARDS.difference(asked, stored, indifferent=frozenset({ValueKind.PLACE})) is None


def dated(*dates: str, kind: ValueKind = ValueKind.DATE):
    return [GUARDS.read(Question("a payment is missing", (Value(kind, date, 0, 1),))) for date in dates]


def test_an_answer_given_for_four_dates_is_one_for_a_fifth_but_not_for_an_amount_more():
    assert indifferent_kinds(dated("rel:today", "rel:yesterday", "--03-01", "rel:today")) == frozenset()
    across = indifferent_kinds(dated("rel:today", "rel:yesterday", "--03-01", "rel:-P7D"))
    assert across == {ValueKind.DATE}

    asked, stored = dated("--07-09", "rel:today")
    assert GUARDS.difference(asked, stored) is not None
    assert GUARDS.difference(asked, stored, indifferent=across) is None
    (amount,) = dated("7.00 GBP", kind=ValueKind.MONEY)
    assert GUARDS.difference(amount, stored, indifferent=across) is not None


@pytest.mark.parametrize(
    "kind",
    [ValueKind.MONEY, ValueKind.PERCENT, ValueKind.PRODUCT, ValueKind.TIER, ValueKind.ID_TAIL, ValueKind.PERSON],
)
def test_amounts_rates_products_tiers_ids_and_people_decide_however_often_the_answer_was_given(kind):
    assert indifferent_kinds(dated(*"abcdefgh", kind=kind)) == frozenset()


def test_equal_texts_never_differ():
    for text in ("", "not", "from to", "was it paid by", "UNBLOCK!!!", "no no no"):
        assert found(text, text) is None
