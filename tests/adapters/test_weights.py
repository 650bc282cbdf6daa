import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from tests.adapters.adapter_folder import (
    BASE,
    BASE_DIGEST,
    BASE_TENSORS,
    LAYERS,
    RANK,
    WIDTH,
    config,
    manifest_of,
    matrices,
    with_header,
    write_adapter,
)

from teller.adapters.manifest import digest_of
from teller.adapters.weights import MODEL_FILE, BaseShapes, check_folder
from teller.errors import InputError

STEM = "base_model.model.model.layers.0.self_attn.q_proj"
FIRST_A, FIRST_B = f"{STEM}.lora_A.weight", f"{STEM}.lora_B.weight"


def _with(**changed):
    return matrices() | changed


def _renamed(old, new):
    return {name.replace(old, new): matrix for name, matrix in matrices().items()}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_a_right_adapter_passes_in_every_float_format(tmp_path, dtype):
    facts = check_folder(write_adapter(tmp_path, dtype=dtype), base=BASE, base_digest=BASE_DIGEST)
    assert (facts.rank, facts.scale, facts.layers, facts.dtypes) == (RANK, 2.0, LAYERS, (dtype,))
    assert len(facts.modules) == len(facts.screen) == 4
    assert facts.parameters == sum(matrix.size for matrix in matrices().values())
    assert facts.tensors == manifest_of(matrices(), config(), dtype=dtype).adapter_tensors
    assert facts.manifest is not None


def test_a_folder_without_a_manifest_is_checked_as_far_as_it_goes(tmp_path):
    folder = write_adapter(tmp_path, with_manifest=False)
    assert check_folder(folder).manifest is None
    assert check_folder(folder, base=BASE).layers == LAYERS


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        pytest.param(_renamed("base_model.model.model.", "model."), "wrong module prefix", id="prefix"),
        pytest.param(_renamed("model.layers", "model.decoder.layers"), "wrong module prefix", id="another tree"),
        pytest.param(_renamed(".weight", ".default.weight"), "wrong module prefix or ending", id="ending of a model"),
        pytest.param(_renamed("layers.1", "layers.7"), "a layer that the base does not have", id="layer"),
        pytest.param({k: v for k, v in matrices().items() if "layers.0" in k}, "partial adapter", id="one layer"),
        pytest.param({k: v for k, v in matrices().items() if k != FIRST_A}, "a partial adapter", id="one matrix"),
        pytest.param({k: v for k, v in matrices().items() if "lora_A" in k}, "only lora_A is there", id="only A"),
        pytest.param({k: v for k, v in matrices().items() if "lora_B" in k}, "only lora_B is there", id="only B"),
        pytest.param({}, "partial adapter", id="nothing"),
        pytest.param(_with(**{FIRST_A: np.ones((RANK + 1, WIDTH))}), "rank 5 .* r = 4", id="rank of A"),
        pytest.param(_with(**{FIRST_B: np.ones((16, 2))}), "rank 2 .* r = 4", id="rank of B"),
        pytest.param(_with(**{FIRST_B: np.ones((12, RANK))}), "made for a module of 12 x 16", id="width"),
        pytest.param(_with(**{FIRST_A: np.ones(RANK)}), "wanted a matrix", id="vector"),
        pytest.param(_with(**{FIRST_A: np.ones((RANK, 0))}), "wanted a matrix", id="empty"),
        pytest.param(_with(**{FIRST_B: np.full((16, RANK), np.nan)}), "64 of 64 numbers are NaN", id="NaN"),
        pytest.param(_with(**{FIRST_A: np.full((RANK, WIDTH), -np.inf)}), "NaN or infinite", id="infinite"),
        pytest.param(_with(**{FIRST_B: np.zeros((16, RANK))}), "all zero: it was not trained", id="zero B"),
        pytest.param(_with(**{FIRST_A: np.zeros((RANK, WIDTH))}), "all zero", id="zero A"),
        pytest.param(_with(**{f"{STEM}.lora_magnitude_vector": np.ones(16)}), "DoRA", id="DoRA"),
        pytest.param(_with(**{"base_model.model.lm_head.weight": np.ones((9, 9))}), "modules_to_save", id="head"),
        pytest.param(
            _with(**{"base_model.model.model.embed_tokens.modules_to_save.weight": np.ones((9, 9))}),
            "modules_to_save",
            id="embedding",
        ),
        pytest.param(_with(**{"base_model.model.model.norm.weight": np.ones(9)}), "modules_to_save", id="norm"),
        pytest.param(_with(**{f"{STEM}.base_layer.bias": np.ones(16)}), "trained bias", id="bias"),
        pytest.param(_with(**{f"{STEM}.lora_B.bias": np.ones(16)}), "trained bias", id="lora bias"),
        pytest.param(_with(**{f"{STEM}.weight": np.ones((16, 16))}), "not of the configuration", id="base weight"),
        pytest.param(
            _with(**{FIRST_A.replace("q_proj", "k_proj"): np.ones((RANK, WIDTH))}), "not of the config", id="module"
        ),
    ],
)
def test_a_broken_adapter_is_refused_with_its_reason(tmp_path, tensors, reason):
    folder = write_adapter(tmp_path, tensors=tensors, with_manifest=False)
    with pytest.raises(InputError, match=reason):
        check_folder(folder, base=BASE)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_single_number_that_is_not_finite_is_found_in_every_format(tmp_path, dtype, value):
    spoiled = matrices()
    spoiled[FIRST_B][7, 2] = value
    folder = write_adapter(tmp_path, tensors=spoiled, dtype=dtype)
    with pytest.raises(InputError, match="1 of 64 numbers are NaN or infinite"):
        check_folder(folder)


@pytest.mark.parametrize("name", [FIRST_A, FIRST_B])
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_rows_that_a_bad_sharded_save_left_at_zero_are_found(tmp_path, name, dtype):
    spoiled = matrices()
    rows = len(spoiled[name])
    spoiled[name][rows // 2 :] = -0.0
    folder = write_adapter(tmp_path, tensors=spoiled, dtype=dtype)
    with pytest.raises(InputError, match=rf"{rows // 2} of {rows} rows are all zero \(the first is {rows // 2}\)"):
        check_folder(folder)


def test_matrices_that_are_not_floats_are_refused(tmp_path):
    with pytest.raises(InputError, match="is F64; wanted F32"):
        check_folder(write_adapter(tmp_path, dtype="F64"))


def test_a_configuration_of_another_rank_than_the_tensors_is_refused(tmp_path):
    with pytest.raises(InputError, match="configuration says r = 8"):
        check_folder(write_adapter(tmp_path, settings=config(r=8)))


def test_a_target_that_the_file_lacks_is_refused(tmp_path):
    settings = config(target_modules=["q_proj", "v_proj", "o_proj"])
    with pytest.raises(InputError, match="partial adapter"):
        check_folder(write_adapter(tmp_path, settings=settings, with_manifest=False), base=BASE)


def test_without_a_base_a_layer_that_the_manifest_knows_of_is_missed(tmp_path):
    half = {name: matrix for name, matrix in matrices().items() if "layers.0" in name}
    folder = write_adapter(tmp_path, tensors=half)
    with pytest.raises(InputError, match="partial adapter"):
        check_folder(folder)


def test_a_gap_in_the_layers_is_refused_before_anything_is_built_for_them(tmp_path):
    tensors = {name.replace("layers.1", "layers.999999"): matrix for name, matrix in matrices().items()}
    with pytest.raises(InputError, match="2 layers, the last one with the number 999999"):
        check_folder(write_adapter(tmp_path, tensors=tensors, with_manifest=False))


def test_a_base_model_of_another_architecture_is_refused(tmp_path):
    with pytest.raises(InputError, match="module prefix is another"):
        check_folder(write_adapter(tmp_path, with_manifest=False), base=BaseShapes({"transformer.h.0.attn": (4, 4)}))


def test_an_adapter_of_another_base_is_refused_by_digest(tmp_path):
    with pytest.raises(InputError, match=f"another base model.*{BASE_DIGEST[:12]}"):
        check_folder(write_adapter(tmp_path), base=BASE, base_digest="0" * 64)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"adapter_tensors": manifest_of(matrices(2), config()).adapter_tensors}, "the file was changed"),
        ({"config": config(lora_alpha=16)}, "not the configuration"),
        ({"trained": ("model.norm.weight",)}, "no LoRA matrix"),
        ({"trained": ()}, "was not trained"),
    ],
)
def test_a_folder_that_is_not_what_its_manifest_says_is_refused(tmp_path, changes, reason):
    folder = write_adapter(tmp_path)
    (folder / "manifest.json").write_bytes(replace(manifest_of(matrices(), config()), **changes).to_json())
    with pytest.raises(InputError, match=reason):
        check_folder(folder)


def test_a_base_tensor_that_is_adapted_must_be_among_those_that_were_proved(tmp_path):
    folder = write_adapter(tmp_path)
    fewer = {name: digest for name, digest in BASE_TENSORS.items() if "0.self_attn.q_proj" not in name}
    manifest = replace(manifest_of(matrices(), config()), base_tensors=fewer, base_digest=digest_of(fewer))
    (folder / "manifest.json").write_bytes(manifest.to_json())
    with pytest.raises(InputError, match=r"base_tensors: .*q_proj\.weight is missing"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt", "optimizer.PTH", "x.pkl", "old.ckpt"])
def test_a_pickle_beside_the_weights_is_refused(tmp_path, name):
    folder = write_adapter(tmp_path)
    (folder / name).write_bytes(b"")
    with pytest.raises(InputError, match=f"{name}: a pickle can run code"):
        check_folder(folder)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_under_the_name_of_safetensors_is_refused(tmp_path, protocol):
    (write_adapter(tmp_path) / MODEL_FILE).write_bytes(pickle.dumps(matrices(), protocol))
    with pytest.raises(InputError, match="a pickle under another name"):
        check_folder(tmp_path)


def test_a_zip_of_pickles_under_the_name_of_safetensors_is_refused(tmp_path):
    (write_adapter(tmp_path) / MODEL_FILE).write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="a pickle under another name"):
        check_folder(tmp_path)


@pytest.mark.parametrize("name", [MODEL_FILE, "adapter_config.json", "manifest.json", "README.md"])
def test_a_link_in_the_folder_is_refused(tmp_path, name):
    folder = write_adapter(tmp_path / "adapter")
    (folder / name).unlink(missing_ok=True)
    (tmp_path / "outside").write_text("{}")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="a symlink"):
        check_folder(folder)


@pytest.mark.parametrize("old", [b'"pt"', b'"format"'])
def test_remarks_that_no_signature_covers_are_refused(tmp_path, old):
    path = write_adapter(tmp_path) / MODEL_FILE
    path.write_bytes(path.read_bytes().replace(old, old[:-2] + b'x"', 1))
    with pytest.raises(InputError, match="no signature covers"):
        check_folder(tmp_path)


@pytest.mark.parametrize("text", ["\ud800", "\x1b[2J", "\n"])
def test_what_a_file_says_cannot_steer_the_terminal_that_shows_the_reason(tmp_path, text):
    broken = [
        ({"adapter_config.json": config(r=text)}, {}),
        ({"adapter_config.json": config() | {text: 1}}, {}),
        ({}, {FIRST_A: {"dtype": text, "shape": [], "data_offsets": [0, 4]}}),
        ({}, {FIRST_A: {"dtype": "F32", "shape": text, "data_offsets": [0, 4]}}),
        ({}, {FIRST_A: {"dtype": "F32", "shape": [], "data_offsets": text}}),
        ({}, {text: {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}),
        ({"manifest.json": {text: 1}}, {}),
    ]
    for files, header in broken:
        folder = write_adapter(tmp_path, with_manifest=False)
        if header:
            (folder / MODEL_FILE).write_bytes(with_header(header, bytes(4)))
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        with pytest.raises(InputError) as caught:
            check_folder(folder)
        assert str(caught.value).isprintable()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    folder = write_adapter(tmp_path)
    (folder / MODEL_FILE).unlink()
    os.mkfifo(folder / MODEL_FILE)
    with pytest.raises(InputError, match="no regular file"):
        check_folder(folder)


@pytest.mark.parametrize("name", [MODEL_FILE, "adapter_config.json"])
def test_a_missing_file_is_named(tmp_path, name):
    (write_adapter(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=name):
        check_folder(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        check_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"r": 4, "r": 8}', "the key 'r' twice"),
        ('{"r": "ä"}'.encode("latin-1"), "not UTF-8"),
        (json.dumps({"r": 4}).encode("utf-16"), "not UTF-8"),
        (b'{"r": NaN}', "NaN"),
        (b"[4]", "not an object"),
        (b"{" + b" " * (1 << 20), "wanted a file of at most"),
        (b"", "not JSON"),
    ],
)
def test_a_configuration_that_is_not_clean_json_is_refused(tmp_path, content, reason):
    (write_adapter(tmp_path) / "adapter_config.json").write_bytes(content)
    with pytest.raises(InputError, match=f"adapter_config.json: .*{reason}"):
        check_folder(tmp_path)
