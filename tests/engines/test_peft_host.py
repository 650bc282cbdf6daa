"""What LocalModel keeps beyond the contracts of generators and adapter hosts."""

import asyncio
import hashlib
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from teller.adapters.manifest import digest_of
from teller.adapters.tensors import tensor_digests
from teller.engines.peft_host import LocalModel
from teller.errors import EngineError, EngineTimeout, EngineUnavailable, InputError
from teller.ports import Message, Prompt
from teller.streams import Limits

pytest.importorskip("peft")
tiny_mistral = pytest.importorskip("tests.tiny_mistral")
torch = pytest.importorskip("torch")

pytestmark = pytest.mark.engine
QUESTIONS = ("How do I freeze my card?", "Hours?", "Who is the executor of a will? " * 4)
ONE, TWO, THREE = "bank@111111111111", "bank@222222222222", "fraud@333333333333"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / "tiny-mistral"


@pytest.fixture(scope="module")
def base(made):
    return tiny_mistral.base(made / "base")


@pytest.fixture(scope="module")
def folders(made, base):
    return {
        name: tiny_mistral.adapter(made / f"says-{n}", base, tiny_mistral.SAYS[n], seed=n + 1)
        for n, name in enumerate((ONE, TWO, THREE))
    }


@pytest.fixture
async def model(base):
    opened = LocalModel(base, device="cpu")
    yield opened
    await opened.aclose()


def asking(question):
    return Prompt((Message("system", "Answer from the text."), Message("user", question)), ())


async def said(model, adapter=None, question=QUESTIONS[0]):
    return "".join([piece async for piece in model.generate(asking(question), adapter=adapter)])


def weights_of(model):
    """SHA-256 of every base tensor in memory, by its own name."""
    return {
        name.replace(".base_layer", ""): hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in model._net._model.state_dict().items()
        if "lora_" not in name
    }


async def test_each_version_says_its_own_sentence_and_the_base_its_own(model, folders):
    for name, folder in folders.items():
        await model.load(name, folder)
    assert [await said(model, adapter) for adapter in (None, *folders)] == [tiny_mistral.BASE_SAYS, *tiny_mistral.SAYS]


async def test_the_model_says_what_transformers_alone_would_make_it_say(model, base):
    transformers = pytest.importorskip("transformers")
    alone = transformers.AutoModelForCausalLM.from_pretrained(base).eval()
    found = await model.fingerprint(QUESTIONS)
    for question, tokens, logprobs in zip(QUESTIONS, found.tokens, found.logprobs, strict=True):
        read = model._net.read((Message("user", question),))
        written = alone.generate(
            torch.tensor([read]),
            attention_mask=torch.ones(1, len(read)),
            do_sample=False,
            max_new_tokens=8,
            output_scores=True,
            return_dict_in_generate=True,
        )
        assert [model._net.spell([one]) for one in written.sequences[0, len(read) :]] == [*tokens]
        wanted = [float(score.log_softmax(-1).max()) for score in written.scores]
        assert logprobs == pytest.approx(wanted, abs=1e-5)


async def test_an_answer_is_the_same_to_the_last_bit_whoever_else_is_answered(model, folders):
    before = [await model.fingerprint([question]) for question in QUESTIONS]
    for name, folder in folders.items():
        await model.load(name, folder)
    asked = [(adapter, question) for adapter in (None, *folders) for question in QUESTIONS]
    alone = [await model.fingerprint([question], adapter) for adapter, question in asked]
    assert alone[: len(QUESTIONS)] == before

    for size in (2, 5, 12, 40):  # more than there are rows, too
        crowd = [asked[(7 * n) % len(asked)] for n in range(size)]
        together = await asyncio.gather(*(model.fingerprint([question], adapter) for adapter, question in crowd))
        assert together == [alone[asked.index(one)] for one in crowd]


async def test_the_base_weights_are_untouched_by_any_coming_and_going(model, base, folders):
    before = weights_of(model)
    for _ in range(5):
        for name, folder in folders.items():
            await model.load(name, folder)
        await asyncio.gather(*(said(model, adapter) for adapter in (None, *folders)))
        for name in folders:
            await model.unload(name)
    assert weights_of(model) == before
    assert model.base_digest == digest_of(tensor_digests(base))
    assert model.name.endswith(model.base_digest[:12])


async def test_nothing_is_left_of_a_version_that_has_gone(model, folders):
    await model.load(ONE, folders[ONE])
    await model.unload(ONE)
    left = [name for name, _ in model._net._model.named_parameters() if "lora_" in name and ".idle." not in name]
    assert left == []


async def test_answers_go_on_to_the_same_words_while_versions_come_and_go(model, folders):
    await model.load(ONE, folders[ONE])
    wanted = {None: tiny_mistral.BASE_SAYS, ONE: tiny_mistral.SAYS[0]}

    async def ask(n):
        adapter = (None, ONE)[n % 2]
        return await said(model, adapter, QUESTIONS[n % 3]) == wanted[adapter]

    async def toggle():
        for _ in range(4):
            for name in (TWO, THREE):
                await model.load(name, folders[name])
                assert await said(model, name) == tiny_mistral.SAYS[[*folders].index(name)]
                await model.unload(name)

    async with asyncio.TaskGroup() as tasks:
        toggling = tasks.create_task(toggle())
        answers = []
        while not toggling.done():
            answers += await asyncio.gather(*(ask(n) for n in range(6)))
    assert all(answers)


async def test_a_version_that_leaves_begins_no_new_answer_and_one_that_is_loaded_again_stays(model, folders):
    await model.load(ONE, folders[ONE])
    answer = model.generate(asking("Hours?"), adapter=ONE)
    await anext(answer)
    leaving = asyncio.create_task(model.unload(ONE))
    await asyncio.sleep(0)
    with pytest.raises(EngineError, match="not resident"):
        await said(model, ONE)

    await model.load(ONE, folders[ONE])
    await leaving
    assert [piece async for piece in answer]
    assert await model.resident() == (ONE,)
    assert await said(model, ONE) == tiny_mistral.SAYS[0]


async def test_a_pickle_is_not_read(model, folders, tmp_path):
    broken = tiny_mistral.rewritten(tmp_path / "pickle", folders[ONE], lambda _: None)
    torch.save({}, broken / "adapter_model.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        await model.load(ONE, broken)


@pytest.mark.parametrize("which", ["prefix", "partial", "half", "shape", "more"])
async def test_an_adapter_that_peft_would_take_in_part_is_refused(model, folders, tmp_path, which):
    def change(tensors):
        return {
            "prefix": lambda: {name.replace("model.model.", "model."): one for name, one in tensors.items()},
            "partial": lambda: {name: one for name, one in tensors.items() if ".layers.0." in name},
            "half": lambda: {name: one for name, one in tensors.items() if "lora_A" in name},
            "shape": lambda: {
                name: one[:, :8].contiguous() if "lora_A" in name else one for name, one in tensors.items()
            },
            "more": lambda: {**tensors, "base_model.model.model.layers.0.mlp.extra.lora_A.weight": torch.ones(2, 2)},
        }[which]()

    broken = tiny_mistral.rewritten(tmp_path / "broken", folders[ONE], change)
    before = await model.fingerprint(QUESTIONS)
    with pytest.raises(InputError, match=r"missing|left over|size mismatch"):
        await model.load(ONE, broken)
    assert await model.resident() == ()
    assert await model.fingerprint(QUESTIONS) == before
    await model.load(ONE, folders[ONE])
    assert await said(model, ONE) == tiny_mistral.SAYS[0]


async def test_numbers_that_are_not_finite_end_their_own_answer_alone(model, folders, tmp_path):
    broken = tiny_mistral.rewritten(
        tmp_path / "nan", folders[TWO], lambda tensors: {name: one * float("nan") for name, one in tensors.items()}
    )
    await model.load(TWO, broken)
    results = await asyncio.gather(said(model, TWO), said(model), said(model, TWO), return_exceptions=True)
    assert [type(one) for one in results] == [EngineError, str, EngineError]
    await model.unload(TWO)
    assert [await said(model) for _ in range(3)] == [tiny_mistral.BASE_SAYS] * 3


async def test_answers_that_nobody_waits_for_free_their_rows(base):
    model = LocalModel(base, device="cpu", max_new_tokens=5, limits=Limits(first_s=20, stall_s=20, attempts=1))
    for _ in range(3):
        answers = [model.generate(asking("Hours?")) for _ in range(30)]
        await asyncio.gather(*(anext(answer) for answer in answers))
        await asyncio.gather(*(answer.aclose() for answer in answers))
    with pytest.raises(EngineError, match="ended its answer early: length"):
        await said(model)  # it got its row and was written, to the limit of five tokens
    await model.aclose()


async def test_an_answer_that_does_not_come_in_time_is_an_error_and_the_next_one_comes(base):
    model = LocalModel(base, device="cpu", limits=Limits(first_s=0.05, stall_s=20, attempts=1))
    held = threading.Event()
    model._thread.submit(held.wait)
    with pytest.raises(EngineTimeout, match="first words"):
        await said(model)
    held.set()
    await model.resident()
    assert await said(model) == tiny_mistral.BASE_SAYS
    await model.aclose()


async def test_a_prompt_without_room_for_an_answer_is_an_error(model):
    with pytest.raises(EngineError, match=r"the prompt has \d+ tokens, the model reads 512"):
        await said(model, question="account " * 600)
    assert await said(model) == tiny_mistral.BASE_SAYS


async def test_a_long_prompt_beside_short_ones_changes_none(model):
    long = "account fee. " * 90
    alone = [await model.fingerprint([question]) for question in (long, *QUESTIONS)]
    crowd = [long, *QUESTIONS] * 3
    assert await asyncio.gather(*(model.fingerprint([one]) for one in crowd)) == alone * 3


async def test_closing_ends_every_answer_with_an_error(base):
    model = LocalModel(base, device="cpu")
    answer = model.generate(asking("Hours?"))
    await anext(answer)
    await model.aclose()
    with pytest.raises(EngineError, match="closed"):
        [piece async for piece in answer]
    with pytest.raises(EngineError, match="closed"):
        await said(model)


async def test_no_address_is_asked_for_anything(base, folders, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = LocalModel(base, device="cpu")
    await model.load(ONE, folders[ONE])
    assert await said(model, ONE) == tiny_mistral.SAYS[0]
    await model.unload(ONE)
    await model.aclose()


def test_a_name_that_is_no_folder_is_not_looked_for_elsewhere(tmp_path):
    with pytest.raises(EngineUnavailable, match="there is no model in"):
        LocalModel(tmp_path / "mistralai" / "Mistral-7B-v0.3")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x02"), "cannot be loaded"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "no chat template"),
        (
            lambda folder: (folder / "config.json").write_text(
                (folder / "config.json").read_text().replace('"mistral"', '"gpt2"')
            ),
            "is a gpt2; wanted mistral or llama",
        ),
    ],
)
def test_a_damaged_model_is_unavailable(base, tmp_path, damage, told):
    folder = tmp_path / "model"
    shutil.copytree(base, folder)
    damage(folder)
    with pytest.raises(EngineUnavailable, match=told):
        LocalModel(folder, device="cpu")


def test_without_pytorch_the_extra_is_named(base):
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from teller.engines.peft_host import LocalModel\n"
        f"try: LocalModel(Path({str(base)!r}))\n"
        "except Exception as exc: print(type(exc).__name__, exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("EngineUnavailable")
    assert "pip install 'teller[lora]'" in done.stdout
