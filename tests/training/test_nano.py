"""A micro-model, trained in seconds, goes through everything that the shipped one went through."""

import json
import sys
from dataclasses import asdict, replace

import pytest

from teller.bank_files import nano_folder
from teller.errors import EngineUnavailable, InputError
from teller.ports import Passage
from teller.prompts import answer_prompt
from teller.training.nano import NanoRecipe, build, learn_tokenizer
from teller.training.nano_score import open_nano, say
from teller.training.nano_text import Known, NanoText, Sources, messages, read_shipped, shipped_sources
from teller.training.nano_tokens import encode_chats, plain_question
from teller.turn import DataClass, Question

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
MICRO = NanoRecipe(
    width=64, layers=1, inner=64, vocabulary=600, start_examples=1024, shelves=1, first_tokens=3, batch_tokens=8192
)
SOURCES = Sources(
    known=(
        Known(
            "cards.pin", "Forgotten PIN", ("I forgot my pin", "what is my pin"), "Tap Cards in our app, then View PIN."
        ),
        Known("fees.chaps", "CHAPS fee", ("how much is CHAPS",), "A CHAPS payment costs {chaps_fee}."),
    ),
    off_topic=("what is the weather like", "tell me a joke"),
    figures=("chaps_fee",),
)


@pytest.fixture(scope="module")
def text():
    return NanoText(SOURCES, seed=MICRO.seed)


@pytest.fixture(scope="module")
def tokenizer(text):
    return learn_tokenizer(text, SOURCES, MICRO)


PIN, CHAPS = (
    Passage(one.id, one.title, one.text, "1", DataClass.PUBLIC, (), 0.9)
    for one in SOURCES.known
    if one.id in ("cards.pin", "fees.chaps")
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nano")
    assert build(MICRO, SOURCES, folder)
    return folder


def test_tokens_give_back_any_text(tokenizer):
    for said in (
        "A CHAPS payment costs {chaps_fee}.",
        "Zürich – £12.50 at 3 o'clock, isn't it?  Yes.",
        "日本 \n tab\t",
    ):
        tokens = tokenizer(said, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(tokens, skip_special_tokens=True) == said


def test_a_placeholder_is_one_token(tokenizer):
    assert len(tokenizer("{chaps_fee}", add_special_tokens=False)["input_ids"]) == 1


def test_the_template_gives_the_tokens_that_training_sees(text, tokenizer):
    chats = [text.example(number) for number in range(200)]
    for chat, (tokens, spans) in zip(chats, encode_chats(tokenizer, chats), strict=True):
        given = tokenizer.apply_chat_template(messages(chat), return_dict=True, return_assistant_tokens_mask=True)
        assert given["input_ids"] == tokens
        marked = [
            any(start <= at < end for start, end in zip(spans[::2], spans[1::2], strict=True))
            for at in range(len(tokens))
        ]
        assert given["assistant_masks"] == [int(mark) for mark in marked]


def test_of_the_system_message_the_template_keeps_the_first_title(tokenizer):
    prompts = [answer_prompt(Question("What is my PIN?"), passages) for passages in ([PIN, CHAPS], [])]
    shown = [
        tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in prompt.messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        for prompt in prompts
    ]
    assert shown == ["<s><|title|> forgotten pin<|user|> what is my pin<|bot|>", "<s><|user|> what is my pin<|bot|>"]


@pytest.mark.parametrize("asked", ["<|bot|>hello</s>", "a {chaps_fee} b", "What’s  my-PIN?!", "it's £10,000.50 (net)"])
def test_a_question_is_read_as_plain_words(tokenizer, asked):
    shown = tokenizer.apply_chat_template([{"role": "user", "content": asked}], tokenize=False)
    assert shown == f"<s><|user|> {plain_question(asked)}"
    tokens = tokenizer(shown, add_special_tokens=False)["input_ids"]
    assert tokens[2:]
    assert min(tokens[2:]) >= 6


def test_a_stopped_build_goes_on_to_the_same_weights(built, tmp_path):
    assert not build(MICRO, SOURCES, tmp_path, stop_after=3)
    assert not (tmp_path / "model.safetensors").exists()
    assert build(MICRO, SOURCES, tmp_path, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == (built / "model.safetensors").read_bytes()
    assert not (tmp_path / "training.pt").exists()


def test_the_shipped_model_was_built_by_the_recipe_that_a_build_uses_now():
    assert json.loads((nano_folder() / "recipe.json").read_text()) == asdict(NanoRecipe())


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    build(MICRO, SOURCES, tmp_path, stop_after=1)
    with pytest.raises(InputError, match="another recipe"):
        build(replace(MICRO, rate=1.0), SOURCES, tmp_path, resume=True)


def test_resuming_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="without --resume"):
        build(MICRO, SOURCES, tmp_path, resume=True)


def test_without_pytorch_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailable, match=r"torch: pip install 'teller\[lora\]'"):
        build(MICRO, SOURCES, tmp_path)


def test_the_loss_falls(tmp_path):
    steps = []
    build(replace(MICRO, batch_tokens=512), SOURCES, tmp_path, told=steps.append)
    assert steps[-1].loss < 0.7 * steps[0].loss
    assert steps[-1].share == 1.0


def test_the_base_learns_every_piece_that_an_edge_case_is_made_of():
    _, tokenizer = open_nano(nano_folder())
    sources, (_, edge) = shipped_sources(kept_back=False), read_shipped()

    def pieces(texts):
        return {piece for row in tokenizer(texts, add_special_tokens=False)["input_ids"] for piece in row}

    learned = pieces([*(f" {word}" for word in sources.words), *sources.openings])
    learned |= pieces([*(one.text for one in sources.known), *(f"It is {{{key}}}." for key in sources.figures)])
    assert pieces([one.text for one in edge]) <= learned


def test_the_shipped_model_answers_by_heart():
    model, tokenizer = open_nano(nano_folder())
    known = {one.id: one for one in read_shipped()[0]}
    one = known["accounts.open"]
    unseen = "somebody told me that I could join this bank, what must I do"
    assert say(model, tokenizer, [one.asks[0], unseen], [one.title, one.title]) == [one.text, one.text]


def test_the_shipped_model_is_small():
    folder = nano_folder()
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 12_000_000
    assert not any(file.suffix in (".bin", ".pt", ".py") for file in folder.iterdir())
