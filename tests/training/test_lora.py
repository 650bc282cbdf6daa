import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tests.training.tiny_chats import LAYERS, TEMPLATE, conversations, tiny_mistral, write_jsonl
from transformers import AutoModelForCausalLM, AutoTokenizer

import teller
from teller.adapters.registry import Registry
from teller.adapters.tensors import tensor_digests
from teller.adapters.weights import MODEL_FILE, BaseShapes, check_folder
from teller.errors import BusyError, EngineError, EngineUnavailable, InputError, StoreError
from teller.training.fingerprints import fingerprint
from teller.training.lora import Recipe, train
from teller.training.lora_session import Session

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers for an attribute's old name


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_mistral(tmp_path_factory.mktemp("base") / "tiny")


def made_recipe(base: Path, folder: Path, **changes) -> Recipe:
    data, replay = folder / "data.jsonl", folder / "replay.jsonl"
    if not data.exists():
        write_jsonl(data, conversations(30))
        write_jsonl(replay, conversations(20, about="the"))
    told = {
        "name": "tiny-lora",
        "base": str(base),
        "data": data,
        "replay": replay,
        "output": folder / "out",
        "row_tokens": 64,
        "rows_per_step": 3,
        "rows_at_once": 3,
        "epochs": 2,
        "learning_rate": 1e-2,
        "dropout": 0.1,
        "checkpoint_steps": 2,
        "device": "cpu",
    }
    return Recipe(**(told | changes))


def adapter_bytes(folder: Path) -> bytes:
    return (folder / MODEL_FILE).read_bytes()


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """A run that nothing disturbed, and the records that it told."""
    told = []
    return train(made_recipe(base, tmp_path_factory.mktemp("whole")), told=told.append), told


def test_training_learns_and_tells_every_step(whole):
    trained, told = whole

    assert [record.step for record in told] == list(range(1, told[0].steps + 1))
    assert tuple(record.loss for record in told) == trained.losses
    assert trained.losses[-1] < trained.losses[0] - 0.2
    assert trained.manifest.metrics["held_out_loss"] < trained.manifest.metrics["held_out_loss_base"]
    assert list(trained.held_out[1:]) == [
        (record.step, record.held_out_loss) for record in told if record.held_out_loss is not None
    ]
    assert not trained.folder.with_name("out.work").exists()


def test_the_folder_is_what_the_registry_imports(whole, base, tmp_path):
    trained, _ = whole

    installed = Registry(tmp_path / "adapters").import_folder(trained.folder, "tiny-lora")

    facts = check_folder(installed.folder, base=BaseShapes.read(base), base_digest=trained.manifest.base_digest)
    assert facts.rank == 8
    assert len(facts.modules) == LAYERS * 7


def test_the_manifest_says_what_was_done(whole, base):
    manifest = whole[0].manifest

    assert manifest.base_tensors == tensor_digests(base)
    assert len(manifest.trained) == LAYERS * 7 * 2
    assert manifest.recipe["replay_share"] == 0.2
    assert manifest.base_name == "tiny"
    assert str(base.parent) not in manifest.to_json().decode()
    assert manifest.fingerprint_base != manifest.fingerprint_on


def test_the_fingerprint_is_what_a_fresh_model_says(whole, base):
    trained, _ = whole
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = (tokenizer, TEMPLATE, trained.manifest.fingerprint_questions, [1])
    plain = fingerprint(AutoModelForCausalLM.from_pretrained(base), *asked)
    tuned = fingerprint(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), trained.folder), *asked)

    for fresh, kept in ((plain, trained.manifest.fingerprint_base), (tuned, trained.manifest.fingerprint_on)):
        assert fresh.tokens == kept.tokens
        for one, other in zip(fresh.logprobs, kept.logprobs, strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def test_a_run_that_was_interrupted_ends_with_the_same_bytes(whole, base, tmp_path):
    recipe = made_recipe(base, tmp_path)

    def interrupt(record):
        if record.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, told=interrupt)
    trained = train(recipe)

    assert trained.resumed_at == 4
    assert trained.losses == whole[0].losses
    assert trained.held_out == whole[0].held_out
    assert adapter_bytes(trained.folder) == adapter_bytes(whole[0].folder)


def test_a_run_that_was_killed_ends_with_the_same_bytes(whole, base, tmp_path):
    recipe = made_recipe(base, tmp_path)
    script = (
        "import sys, torch; from pathlib import Path; from tests.training.test_lora import made_recipe, train\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "train(made_recipe(Path(sys.argv[1]), Path(sys.argv[2])), told=lambda r: print(r.step, flush=True))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(base), str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "3":
                process.send_signal(signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL
    trained = train(recipe)

    assert trained.resumed_at >= 2
    assert trained.losses == whole[0].losses
    assert adapter_bytes(trained.folder) == adapter_bytes(whole[0].folder)


def test_a_full_disk_keeps_the_last_checkpoint(whole, base, tmp_path):
    recipe = made_recipe(base, tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(record):
        if record.step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))

    try:
        with pytest.raises(StoreError, match="the last checkpoint is kept"):
            train(recipe, told=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    trained = train(recipe)

    assert trained.resumed_at == 2
    assert adapter_bytes(trained.folder) == adapter_bytes(whole[0].folder)


def test_gradients_that_are_accumulated_give_the_same_loss(base, tmp_path):
    trained = train(made_recipe(base, tmp_path, rows_at_once=1, dropout=0.0))
    (tmp_path / "b").mkdir()
    at_once = train(made_recipe(base, tmp_path / "b", dropout=0.0))

    assert trained.losses == pytest.approx(at_once.losses, rel=1e-4)


@pytest.mark.parametrize("change", [{"seed": 2}, {"learning_rate": 2e-2}, "data"])
def test_an_unfinished_run_of_another_recipe_or_data_is_refused(base, tmp_path, change):
    session = Session(made_recipe(base, tmp_path))
    session.run.advance()
    session.run.keep()
    session.close()
    if change == "data":
        write_jsonl(tmp_path / "data.jsonl", conversations(31))
        change = {}

    with pytest.raises(InputError, match="an unfinished run with another"):
        train(made_recipe(base, tmp_path, **change))


def test_two_runs_into_one_output_are_refused(base, tmp_path):
    session = Session(made_recipe(base, tmp_path))
    with pytest.raises(BusyError):
        train(made_recipe(base, tmp_path))
    session.close()


def test_an_output_that_is_there_is_never_written_over(base, tmp_path):
    (tmp_path / "out").mkdir()

    with pytest.raises(InputError, match="is there already"):
        train(made_recipe(base, tmp_path))


def test_one_example_trains_with_a_warning(base, tmp_path):
    recipe = made_recipe(base, tmp_path, data=write_jsonl(tmp_path / "one.jsonl", conversations(1)))

    trained = train(recipe)

    assert any("nothing is held out" in warning for warning in trained.warnings)
    assert trained.held_out == ()


def test_no_replay_is_an_error_unless_it_is_meant(base, tmp_path):
    with pytest.raises(InputError, match="no file of them is named"):
        train(made_recipe(base, tmp_path, replay=None))

    trained = train(made_recipe(base, tmp_path, replay=None, replay_share=0.0, epochs=1))

    assert any("no replay" in warning for warning in trained.warnings)


@pytest.mark.engine
def test_teller_nano_brings_its_own_replay(tmp_path):
    data = write_jsonl(tmp_path / "data.jsonl", conversations(12))

    trained = train(Recipe(name="nano-lora", base="teller-nano", data=data, output=tmp_path / "out", epochs=1, rank=4))

    assert trained.manifest.base_name == "teller-nano"
    assert len(trained.manifest.recipe["replay_sha256"]) == 64
    assert trained.manifest.metrics["tokens"] > 12 * 20


def test_training_stops_early_and_keeps_the_best(base, tmp_path):
    trained = train(made_recipe(base, tmp_path, learning_rate=1.0, epochs=8, patience=2, measurements_per_epoch=4))

    assert trained.stopped_early
    assert trained.manifest.metrics["held_out_loss"] == min(loss for _, loss in trained.held_out[1:])


def test_a_loss_that_is_no_number_ends_the_run(base, tmp_path):
    with pytest.raises(EngineError, match="is no number"):
        train(made_recipe(base, tmp_path, learning_rate=1e38))


def test_a_rank_that_no_adapter_may_have_is_refused_before_anything_is_read(base, tmp_path):
    with pytest.raises(InputError, match="recipe: rank: found 65; wanted at most 64"):
        made_recipe(base, tmp_path, rank=65)


def test_an_adapter_is_trained_further_from_its_installed_version(whole, base, tmp_path):
    installed = Registry(tmp_path / "adapters").import_folder(whole[0].folder, "tiny-lora")

    trained = train(made_recipe(base, tmp_path, parent=installed.folder, epochs=1))

    assert trained.manifest.parent == installed.digest
    assert trained.held_out[0][1] == pytest.approx(whole[0].manifest.metrics["held_out_loss"], rel=1e-5)
    with pytest.raises(InputError, match="wanted rank 4"):
        train(made_recipe(base, tmp_path, parent=installed.folder, rank=4, output=tmp_path / "other"))


@pytest.mark.parametrize(
    "config",
    [
        {"bias": "all"},
        {"bias": "lora_only"},
        {"modules_to_save": ["lm_head"]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"use_dora": True},
        {"trainable_token_indices": [1]},
        {"target_modules": ["q_proj", "value_proj"]},
        {"target_modules": "all-linear"},
        {"layers_to_transform": [0]},
    ],
)
def test_a_configuration_that_trains_more_or_less_than_lora_is_refused(base, tmp_path, config):
    with pytest.raises(InputError, match=next(iter(config))):
        train(made_recipe(base, tmp_path, config=config))
    assert not (tmp_path / "out").exists()


def merge(session):
    session.model.merge_adapter()


def merge_and_unmerge(session):
    session.model.merge_adapter()
    session.model.unmerge_adapter()


def flip_one_bit(session):
    weight = session.model.get_base_model().model.norm.weight
    weight.data.view(torch.int32)[3] ^= 1


def unfreeze(session):
    session.run.learnt["lm_head"] = session.model.get_base_model().lm_head.weight


def lose_a_shard(session):
    name = "base_model.model.model.layers.1.mlp.up_proj.lora_B.default.weight"
    session.run.learnt[name].data[32:] = 0


@pytest.mark.parametrize("violation", [merge, merge_and_unmerge, flip_one_bit, unfreeze, lose_a_shard])
def test_what_is_not_only_and_wholly_lora_is_found_and_nothing_is_written(base, tmp_path, violation):
    session = Session(made_recipe(base, tmp_path))
    session.run.advance()

    violation(session)

    with pytest.raises(InputError, match=r"not only LoRA matrices changed|is no LoRA matrix|rows are all zero"):
        session.finish()
    assert not (tmp_path / "out").exists()
    session.close()


def test_weight_decay_on_a_base_tensor_is_refused(base, tmp_path):
    session = Session(made_recipe(base, tmp_path))
    session.run.optimizer.add_param_group({"params": [session.model.get_base_model().model.norm.weight]})

    with pytest.raises(InputError, match="1 parameters that are no LoRA matrices"):
        session.run.advance()
    session.close()


def test_a_base_in_bfloat16_is_trained_in_float32_and_proved_by_its_files(tmp_path):
    base = tiny_mistral(tmp_path / "half", dtype=torch.bfloat16)

    trained = train(made_recipe(base, tmp_path, epochs=1))

    assert trained.manifest.base_tensors == tensor_digests(base)


def test_a_base_in_four_bits_is_trained_and_its_packing_proved(base, tmp_path):
    session = Session(made_recipe(base, tmp_path, quantised=True, epochs=1))
    names = session.before.keys()
    while not session.run.finished:
        session.run.advance()
    trained = session.finish()
    session.close()

    assert any(name.endswith("q_proj.weight.absmax") for name in names)
    assert trained.losses[-1] < trained.losses[0]
    assert trained.manifest.base_tensors == tensor_digests(base)

    other = Session(made_recipe(base, tmp_path, quantised=True, output=tmp_path / "other"))
    other.run.advance()
    other.model.get_base_model().model.layers[0].mlp.up_proj.base_layer.weight.data[7] ^= 1
    with pytest.raises(InputError, match="1 base tensors that changed"):
        other.finish()
    other.close()


def test_load_lora_model_is_public_and_trains_only_lora(base):
    model = teller.load_lora_model(str(base), r=4)

    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(names) == LAYERS * 7 * 2
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    assert model.peft_config["default"].r == 4


def test_a_base_that_is_nowhere_is_refused_without_the_network():
    for name in ("mistralai/Mistral-7B-v0.3", "no such/name/at-all"):
        with pytest.raises(EngineUnavailable, match="neither a folder nor on this machine"):
            teller.load_lora_model(name)


def test_importing_teller_loads_no_model_library():
    script = "import sys, teller; print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
