import pytest
import torch
from tests.training.tiny_chats import TEMPLATE, chat, conversations, tiny_mistral, write_jsonl
from transformers import AutoTokenizer

from teller.errors import InputError
from teller.training.chat_encoding import ChatEncoder
from teller.training.lora_model import load_lora_model
from teller.training.lora_run import Objective
from teller.training.packing import Pool
from teller.training.token_file import encode_file

UNMARKED = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_mistral(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def encoder(tokenizer, context=128):
    return ChatEncoder(tokenizer, ends=[1], context=context)


def pool(tokenizer, tmp_path, *, count=60, replay_share=0.2, held_out_share=0.1, rows=None):
    data, _ = encode_file(
        write_jsonl(tmp_path / "d.jsonl", rows or conversations(count)), encoder(tokenizer), tmp_path / "d.tokens"
    )
    replay, _ = encode_file(
        write_jsonl(tmp_path / "r.jsonl", conversations(30, about="the")), encoder(tokenizer), tmp_path / "r.tokens"
    )
    return Pool.split(data, replay, replay_share=replay_share, held_out_share=held_out_share, seed=3)


def test_what_the_assistant_says_is_learnt_and_nothing_else(tokenizer, tmp_path):
    rows = [{"messages": chat("Where?", "Here.")["messages"] + chat("And now?", "There.")["messages"]}]
    tokens, _ = encode_file(write_jsonl(tmp_path / "d.jsonl", rows), encoder(tokenizer), tmp_path / "d.tokens")

    first = tokens[0]

    assert tokenizer.decode(first.ids) == "<s>[INST] Where?[/INST] Here.</s>[INST] And now?[/INST] There.</s>"
    assert tokenizer.decode(first.ids[first.said]) == " Here.</s> There.</s>"
    assert tokens.learnt[0] == first.said.sum()


def test_a_template_without_marks_is_replaced_by_mistrals_if_it_writes_the_same(tokenizer, tmp_path):
    for template in (UNMARKED, None):
        tokenizer.chat_template = template
        tokens, _ = encode_file(
            write_jsonl(tmp_path / "d.jsonl", [chat("Where?", "Here.")]), encoder(tokenizer), tmp_path / "d.tokens"
        )
        assert tokenizer.decode(tokens[0].ids[tokens[0].said]) == " Here.</s>"
    tokenizer.chat_template = UNMARKED.replace("[INST]", "<q>")
    with pytest.raises(InputError, match=r"no \{% generation %\} marks"):
        encoder(tokenizer)
    tokenizer.chat_template = TEMPLATE


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (UNMARKED + "{% if false %}{% generation %}{% endgeneration %}{% endif %}", "marks no token"),
        (
            TEMPLATE.replace(
                "{{ ' ' + message['content'] + eos_token }}{% endgeneration %}", "{{ ' ' }}{% endgeneration %}"
            ),
            "marks no end",
        ),
    ],
)
def test_a_template_that_would_teach_nothing_or_no_end_is_refused_by_line(tokenizer, tmp_path, template, reason):
    tokenizer.chat_template = template
    data = write_jsonl(tmp_path / "d.jsonl", [chat("Where?", "Here.")])
    with pytest.raises(InputError, match=rf"d.jsonl:1: the chat template {reason}"):
        encode_file(data, encoder(tokenizer), tmp_path / "d.tokens")
    tokenizer.chat_template = TEMPLATE


def test_a_conversation_longer_than_the_context_is_named(tokenizer, tmp_path):
    data = write_jsonl(tmp_path / "d.jsonl", [chat("a", "b"), chat("Where? " * 40, "Here.")])

    with pytest.raises(InputError, match=r"d.jsonl:2: \d+ tokens; the context of this run is 64"):
        encode_file(data, encoder(tokenizer, 64), tmp_path / "d.tokens")


def test_a_control_token_in_a_message_is_refused(tokenizer, tmp_path):
    data = write_jsonl(tmp_path / "d.jsonl", [chat("Forget it.</s>[INST] Now", "No.")])

    with pytest.raises(InputError, match="holds the control token </s>"):
        encode_file(data, encoder(tokenizer), tmp_path / "d.tokens")


def test_conversations_in_a_row_do_not_see_one_another(folder, tokenizer, tmp_path):
    objective = Objective(load_lora_model(str(folder)), autocast=False)
    mixed = pool(tokenizer, tmp_path)
    row = mixed.epoch(0, seed=1, row_tokens=100).row(0)
    assert len(row) > 2

    def loss(rows):
        batch = mixed.batch(rows, pad=2)
        with torch.no_grad():
            return objective(*(torch.from_numpy(part) for part in (batch.ids, batch.positions, batch.at, batch.next)))

    alone = sum(loss([row[at : at + 1]]) for at in range(len(row)))
    torch.testing.assert_close(loss([row]), alone, atol=1e-4, rtol=1e-6)


def test_an_epoch_holds_every_conversation_once_and_its_share_of_replay(tokenizer, tmp_path):
    mixed = pool(tokenizer, tmp_path)

    rows = mixed.epoch(0, seed=1, row_tokens=64)

    data = sorted(place for place in rows.order.tolist() if place < len(mixed.data))
    assert data == mixed.trained.tolist()
    assert len(mixed.held_out) == 6
    assert len(rows.order) - len(data) == round(len(data) * 0.2 / 0.8)
    lengths = [
        sum(mixed.data.lengths[p] if p < 60 else mixed.replay.lengths[p - 60] for p in rows.row(at))
        for at in range(len(rows))
    ]
    assert max(lengths) <= 64


def test_the_order_is_decided_by_seed_and_epoch(tokenizer, tmp_path):
    mixed = pool(tokenizer, tmp_path)

    orders = {
        (seed, epoch): mixed.epoch(epoch, seed=seed, row_tokens=64).order.tolist()
        for seed in (1, 2)
        for epoch in (0, 1)
    }

    assert orders[1, 0] == mixed.epoch(0, seed=1, row_tokens=64).order.tolist()
    assert len({tuple(order) for order in orders.values()}) == 4


def test_equal_conversations_are_held_out_together(tokenizer, tmp_path):
    mixed = pool(tokenizer, tmp_path, rows=conversations(12) * 3)

    held_out = set(mixed.data.digests[mixed.held_out].tolist())

    assert len(mixed.held_out) == 3
    assert not held_out & set(mixed.data.digests[mixed.trained].tolist())


def test_nothing_is_held_out_of_few_conversations(tokenizer, tmp_path):
    mixed = pool(tokenizer, tmp_path, rows=conversations(1) * 40)

    assert len(mixed.held_out) == 0
    assert len(mixed.trained) == 40
