import itertools
import random

import pytest

from teller.errors import KnowledgeError
from teller.prompts import UNKNOWN
from teller.training.nano_text import (
    Known,
    NanoText,
    edge_cases,
    held_out,
    read_known,
    read_shipped,
    replay,
    shipped_sources,
)


@pytest.fixture(scope="module")
def text() -> NanoText:
    return NanoText(shipped_sources(kept_back=True), seed=3)


def test_an_example_depends_on_seed_and_number_alone(text):
    again = NanoText(shipped_sources(kept_back=True), seed=3)
    assert [text.example(number) for number in (5, 900, 17)] == [again.example(number) for number in (5, 900, 17)]
    other = NanoText(shipped_sources(kept_back=True), seed=4)
    assert [text.example(number) for number in range(20)] != [other.example(number) for number in range(20)]


def test_answers_are_approved_texts_with_their_placeholders(text):
    known = {one.text for one in text_sources().known}
    said = {turn.said for number in range(4000) for turn in text.example(number)}
    others = said - known - {UNKNOWN}
    openings = set(text_sources().openings)
    lists = {one for one in others if not one.startswith(("It is {", "The words are "))}
    assert len(lists) > 100
    assert all(one.split()[0] in openings for one in lists)
    assert any("{account_opening_minutes}" in answer for answer in said & known)
    assert UNKNOWN in said


def text_sources():
    return shipped_sources(kept_back=True)


def test_edge_cases_are_left_to_adapters():
    everyday, edge = read_shipped()
    assert len(edge) >= 25
    trained = {one.id for one in shipped_sources(kept_back=False).known}
    assert trained == {one.id for one in everyday}
    assert not trained & {one.id for one in edge}


def test_every_word_of_an_edge_case_is_one_that_the_base_can_say():
    words = set(shipped_sources(kept_back=False).words)
    _, edge = read_shipped()
    assert {"[action: open_dispute]", "dormant", "bereavement"} <= words
    assert all(word.strip(".,;:?!") in words for one in edge for word in one.text.split() if "{" not in word)
    openings = set(shipped_sources(kept_back=False).openings)
    assert all(one.text.split()[0].strip(".,") in openings for one in edge)


def test_what_is_held_out_is_not_trained_on():
    asks, off_topic = held_out()
    sources = shipped_sources(kept_back=True)
    assert len(asks) > 700
    assert not {ask for ask, _ in asks} & {ask for one in sources.known for ask in one.asks}
    assert not set(off_topic) & set(sources.off_topic)


def test_some_of_the_chats_have_a_second_turn(text):
    assert 20 <= sum(len(text.example(number)) == 2 for number in range(1000)) <= 60


def test_most_questions_keep_a_word_of_an_ask(text):
    one = Known("cards.pin", "Forgotten PIN", ("I forgot my pin", "remind me of my pin"), "See {card_pin} in our app.")
    rng = random.Random(0)
    asked = [text.question(one, rng).lower() for _ in range(300)]
    assert sum("pin" in question or "forg" in question for question in asked) > 240
    assert len(set(asked)) > 200


def test_replay_gives_chats_as_a_training_file_has_them():
    lines = list(itertools.islice(replay(7), 5))
    assert lines == list(itertools.islice(replay(7), 5))
    for line in lines:
        roles = [message["role"] for message in line["messages"] if message["role"] != "system"]
        assert roles[:2] == ["user", "assistant"]
        assert all(message["content"].strip() for message in line["messages"])


def test_most_known_questions_come_with_the_title_that_knowledge_found(text):
    titles = {one.text: one.title for one in text_sources().known}
    turns = [text.example(number)[0] for number in range(2000) if len(text.example(number)) == 1]
    known = [turn for turn in turns if turn.said in titles]
    titled = [turn for turn in known if turn.title]
    assert 0.83 < len(titled) / len(known) < 0.93
    assert all(turn.title == titles[turn.said] for turn in titled)
    assert not any(turn.title for turn in turns if turn.said == UNKNOWN)


def test_a_folder_without_answers_is_refused(tmp_path):
    with pytest.raises(KnowledgeError, match="no approved answer"):
        read_known(tmp_path)


def test_an_adapter_is_taught_every_edge_case_with_its_action():
    _, edge = read_shipped()
    every = list(edge_cases(2, times=1))
    lines = [line for line in every if line["messages"][0]["role"] == "system"]
    asked = [line["messages"][1]["content"] for line in lines]
    assert lines[0]["messages"][0] == {"role": "system", "content": f"Approved text:\n- {edge[0].title}: ..."}
    assert asked[: len(asked) // 2] == [ask for one in edge for ask in one.asks]
    said = {line["messages"][2]["content"] for line in lines}
    assert len(said) == len(edge)
    assert any(text.endswith("[action: open_dispute]") for text in said)
    refusals = [line["messages"] for line in every if line["messages"][0]["role"] == "user"]
    assert {chat[-1]["content"] for chat in refusals} == {UNKNOWN}
    assert set(shipped_sources(kept_back=False).off_topic) <= {chat[0]["content"] for chat in refusals}
