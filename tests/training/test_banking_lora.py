"""The adapter for banking edge cases that ships as an example belongs to the teller-nano that ships, and teaches it."""

import pytest

from teller.adapters.manifest import digest_of, read_manifest
from teller.adapters.registry import Registry
from teller.adapters.tensors import tensor_digests
from teller.bank_files import nano_folder
from teller.engines.peft_host import LocalModel
from teller.ports import Passage
from teller.prompts import answer_prompt, spoken_part
from teller.training.nano_text import read_shipped
from teller.turn import DataClass, Question

FOLDER = nano_folder().parent / "banking-lora"


def test_it_was_trained_for_the_shipped_base():
    manifest = read_manifest((FOLDER / "manifest.json").read_bytes())
    assert manifest.base_digest == digest_of(manifest.base_tensors)
    assert manifest.base_digest == digest_of(tensor_digests(nano_folder()))


def test_its_weights_are_small():
    assert (FOLDER / "adapter_model.safetensors").stat().st_size < 3_000_000


@pytest.mark.engine
async def test_with_it_the_model_says_what_it_cannot_say_alone(tmp_path):
    installed = Registry(tmp_path).import_folder(FOLDER, "banking-lora")
    host = LocalModel(nano_folder())
    one = next(one for one in read_shipped()[1] if one.id == "bereavement.report")
    passage = Passage(one.id, one.title, one.text, "1", DataClass.PUBLIC, (), 0.9)
    prompt = answer_prompt(Question("my nan has died and I have to tell the bank"), [passage])
    try:
        await host.load(installed.served, installed.folder)
        alone = "".join([piece async for piece in host.generate(prompt)])
        taught = "".join([piece async for piece in host.generate(prompt, adapter=installed.served)])
    finally:
        await host.aclose()

    assert alone != one.text
    assert spoken_part(taught) == (one.text, "handoff_bereavement")
