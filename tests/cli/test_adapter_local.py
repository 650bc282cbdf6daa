"""`adapter-control` with a real local model and no server: judged, proven, enabled, and served by a bot afterwards."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import replace

import pytest
from tests import tiny_mistral
from tests.adapters.adapter_folder import manifest_of

from teller.adapters.manifest import digest_of
from teller.adapters.tensors import TensorFile, tensor_digests
from teller.cli.adapter_control import main
from teller.config import load
from teller.turn import Said, Source, Transcript
from teller.wiring import open_bot

pytestmark = pytest.mark.engine

KNOWLEDGE = """
[[answer]]
id = "bereavement"
version = 1
title = "When somebody has died"
asks = ["my father has died", "somebody died who do I tell"]
text = "Please bring the death certificate to a branch."

[[answer]]
id = "fees"
version = 1
title = "Fees"
asks = ["what does the account cost", "is there a card fee"]
text = "The account is free, always. No card fee."
"""
TEMPLATE = (  # the tiny model's, with the marks that training needs
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CASES = {
    "edge": [("my father has died", "death certificate"), ("somebody died who do I tell", "death certificate")],
    "general": [("what does the account cost", "free"), ("is there a card fee", "free")],
    "refuse": [("what is the weather", "free|branch")],
    "regulatory": [("who are you", "free|branch")],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A base model and an adapter that makes it say something about bereavement."""
    folder = tmp_path_factory.mktemp("models")
    base = tiny_mistral.base(folder / "tiny")
    adapter = tiny_mistral.adapter(folder / "adapter", base, tiny_mistral.SAYS[1])
    said = asyncio.run(_fingerprints(base, adapter))
    with TensorFile(adapter / "adapter_model.safetensors") as file:
        names = list(file.tensors)
    digests, settings = tensor_digests(base), tiny_mistral.config_of(base)
    manifest = replace(
        manifest_of({}, settings, name="banking-lora"),
        base_name="tiny",
        base_tensors=digests,
        base_digest=digest_of(digests),
        adapter_tensors=tensor_digests(adapter),
        trained=tuple(name.replace(".weight", ".default.weight") for name in names),
        fingerprint_questions=("my father has died", "what does it cost"),
        fingerprint_base=said[0],
        fingerprint_on=said[1],
    )
    (adapter / "manifest.json").write_bytes(manifest.to_json())
    return base, adapter


async def _fingerprints(base, adapter):
    from teller.engines.peft_host import LocalModel

    model = LocalModel(base)
    try:
        await model.load("it@111111111111", adapter)
        questions = ("my father has died", "what does it cost")
        return [await model.fingerprint(questions, served) for served in (None, "it@111111111111")]
    finally:
        await model.aclose()


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, models):
    """The command line on a home whose bank has two answers and whose model is the tiny one."""
    gate = tmp_path / "gate"
    gate.mkdir()
    for name, cases in CASES.items():
        lines = [
            json.dumps({"id": f"{name}-{n}", "set": name, "family": name, "question": asked, "must_say": [wanted]})
            for n, (asked, wanted) in enumerate(cases)
        ]
        (gate / f"{name}.jsonl").write_text("\n".join(lines))
    (gate / "actions.toml").write_text("")
    (gate / "checks.toml").write_text("")
    (tmp_path / "bank.toml").write_text(KNOWLEDGE)
    environment = {
        "HOME": tmp_path / "home",
        "KNOWLEDGE__PATH": tmp_path / "bank.toml",
        "ADAPTERS__GATE_CASES": gate,
        "ENGINES__GENERATOR": "local",
        "ENGINES__LOCAL_MODEL": models[0],
        "ENGINES__TRANSCRIBER": "none",
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"TELLER_{name}", str(value))

    def command(*args):
        monkeypatch.setattr(sys, "argv", ["adapter-control", *map(str, args), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, json.loads(out) if out else err

    return command


async def _answer(question: str):
    async with open_bot(load().settings, speech=False) as bot:
        call = bot.new_call()
        events = [event async for event in bot.orchestrator.turn(Transcript(question), call, speak=False)]
        said = next(event.answer for event in events if isinstance(event, Said))
        return said.text, said.source, events[-1].record.adapter


def test_an_adapter_is_judged_proven_enabled_served_and_disabled_without_a_server(run, models, tmp_path):
    code, found = run("import", models[1], "--sign")
    assert code == 0
    served = found["installed"]

    code, found = run("evaluate", served, "--plot", tmp_path / "gate.svg")
    rows = {row["set"]: (row["before"]["value"], row["after"]["value"]) for row in found["verdict"]["rows"]}
    assert rows["edge"] == (0.0, 1.0)
    assert rows["general"] == (1.0, 0.0)  # it says one sentence, whatever it is asked
    assert (tmp_path / "gate.svg").stat().st_size > 1_000
    assert (code, found["passed"]) == (1, False)
    code, said = run("enable", served)
    assert code == 2
    assert "did not pass" in said

    code, found = run("prove", served, "--applied")
    assert {step["name"]: step["right"] for step in found["steps"]} == {
        "content": True,
        "signature": True,
        "only LoRA": True,
        "base unchanged": True,
        "applied": True,
    }

    assert asyncio.run(_answer("my father has died"))[1:] == (Source.APPROVED, None)
    code, found = run("--load", "banking-lora", "--enable", "--override", "--reason", "a test")
    assert (code, found["live"], found["proven_here"]) == (0, served, True)
    text, source, adapter = asyncio.run(_answer("my father has died"))
    assert (text, source, adapter) == (tiny_mistral.SAYS[1], Source.MODEL, served)
    code, found = run("--load", "banking-lora", "--disable")
    assert (code, found["live"]) == (0, None)
    text, source, adapter = asyncio.run(_answer("my father has died"))
    assert (source, adapter) == (Source.CACHE, None)  # as it was answered before, on the base model
    assert text == "Please bring the death certificate to a branch."


def test_an_adapter_is_trained_signed_installed_and_proven_by_one_command_each(run, models, tmp_path):
    (tmp_path / "data.csv").write_text(
        "question,answer\n"
        + "".join(f"my father has died {n},Please bring the death certificate to any branch.\n" for n in range(30))
    )
    base = shutil.copytree(models[0], tmp_path / "tiny")
    (base / "chat_template.jinja").write_text(TEMPLATE)
    options = ("--base", base, "--replay-share", 0, "--epochs", 1, "--rank", 2)

    code, found = run("train", "--data", tmp_path / "data.csv", "--name", "banking-lora", *options)

    assert code == 0, found
    assert found["steps"] >= 1
    assert found["installed"].startswith("banking-lora@")
    assert found["plot"].endswith(f"{found['digest']}-training.png")
    code, proven = run("prove", found["installed"])
    assert [step["right"] for step in proven["steps"]] == [True] * 4
    code, listed = run("list")
    assert [version["gate"] for version in listed["versions"]] == ["not evaluated"]
