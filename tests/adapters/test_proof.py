import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.adapter_folder import config

from teller.adapters.manifest import digest_of
from teller.adapters.proof import LoraRules, base_tensor_name, check_config, check_trained, lora_module, prove, scale_of
from teller.errors import InputError

WRAPPED = "base_model.model.model.layers.0.self_attn.q_proj"
BEFORE = {"model.embed_tokens.weight": "1" * 64, "model.layers.0.self_attn.q_proj.weight": "2" * 64}
AFTER = {
    "base_model.model.model.embed_tokens.weight": "1" * 64,
    f"{WRAPPED}.base_layer.weight": "2" * 64,
    f"{WRAPPED}.lora_A.default.weight": "8" * 64,
    f"{WRAPPED}.lora_B.default.weight": "9" * 64,
}
TRAINED = (f"{WRAPPED}.lora_A.default.weight", f"{WRAPPED}.lora_B.default.weight")


def test_a_configuration_gives_just_the_modules_that_it_adapts():
    assert check_config(config(target_modules=["q_proj", "down_proj"]), 2) == (
        "model.layers.0.mlp.down_proj",
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.mlp.down_proj",
        "model.layers.1.self_attn.q_proj",
    )


def test_all_seven_modules_of_every_layer_are_counted():
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert len(set(check_config(config(target_modules=every), 32))) == 7 * 32


@pytest.mark.parametrize("init", [True, "gaussian", "orthogonal"])
def test_initialisations_that_leave_the_base_alone_are_taken(init):
    check_config(config(init_lora_weights=init, use_rslora=True), 2)


@pytest.mark.parametrize("value", [None, False, {}, [], ""])
def test_an_empty_setting_that_is_not_known_is_taken(value):
    check_config(config(a_setting_of_tomorrow=value, runtime_config={"ephemeral_gpu_offload": False}), 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bias": "all"}, "bias is 'all'"),
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"modules_to_save": ["lm_head"]}, "trains whole modules"),
        ({"trainable_token_indices": [1, 2]}, "trains embeddings"),
        ({"trainable_token_indices": {"embed_tokens": [1]}}, "trains embeddings"),
        ({"target_parameters": ["feed_forward.experts"]}, "target_parameters"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "another model"),
        ({"lora_bias": True}, "trains biases"),
        ({"use_dora": True}, "DoRA"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern"),
        ({"layers_to_transform": [0]}, "layers_to_transform"),
        ({"auto_mapping": {"parent_library": "evil"}}, "code to import"),
        ({"use_qalora": True}, "not on the list"),
        ({"a_setting_of_tomorrow": 1}, "not on the list"),
        ({"megatron_core": "evil.module"}, "megatron_core"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"task_type": "SEQ_CLS"}, "task_type"),
        ({"init_lora_weights": False}, "init_lora_weights"),
        ({"init_lora_weights": 1}, "init_lora_weights"),
        *(({"init_lora_weights": init}, init) for init in ("pissa", "pissa_niter_4", "olora", "corda", "loftq", "eva")),
        ({"target_modules": ["q_proj", "value_proj"]}, "value_proj"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens"),
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"target_modules": "all-linear"}, "list of module names"),
        ({"target_modules": ".*_proj"}, "list of module names"),
        ({"target_modules": []}, "list of module names"),
        ({"target_modules": ["q_proj", "q_proj"]}, "twice"),
        ({"target_modules": [["q_proj"]]}, "target_modules"),
        ({"r": 0}, "rank of 1 to 64"),
        ({"r": 65}, "rank of 1 to 64"),
        ({"r": True}, "rank of 1 to 64"),
        ({"r": 8.0}, "rank of 1 to 64"),
        ({"r": "8"}, "rank of 1 to 64"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"lora_alpha": float("nan")}, "lora_alpha"),
        ({"lora_dropout": 1.0}, "lora_dropout"),
        ({"base_model_name_or_path": "../../etc"}, "without '..'"),
        ({"base_model_name_or_path": "a\\..\\b"}, "without '..'"),
        ({"base_model_name_or_path": "a\nb"}, "without '..'"),
    ],
)
def test_what_could_train_or_rewrite_more_than_lora_is_refused_with_the_reason(changes, reason):
    with pytest.raises(InputError, match=reason):
        check_config(config(**changes), 2)


@pytest.mark.parametrize("key", ["r", "lora_alpha", "target_modules", "peft_type"])
def test_a_missing_setting_is_named(key):
    settings = config()
    del settings[key]
    with pytest.raises(InputError, match=f"{key} is 'None': it is missing"):
        check_config(settings, 2)


def test_the_rank_limit_is_a_rule():
    assert check_config(config(r=128), 1, LoraRules(max_rank=128))


def test_scale_is_alpha_over_rank_and_for_rslora_over_its_root():
    assert scale_of(config(r=16, lora_alpha=32)) == 2.0
    assert scale_of(config(r=16, lora_alpha=32, use_rslora=True)) == 8.0


def test_training_that_left_the_base_alone_is_proved():
    proof = prove(BEFORE, AFTER, TRAINED)
    assert proof.holds
    assert proof.base_digest == digest_of(BEFORE)
    proof.demand()


@pytest.mark.parametrize(
    ("after", "trained", "reason"),
    [
        (AFTER | {f"{WRAPPED}.base_layer.weight": "3" * 64}, TRAINED, r"1 base tensors that changed \(model.layers.0"),
        ({key: AFTER[key] for key in list(AFTER)[1:]}, TRAINED, "missing"),
        (AFTER | {"base_model.model.lm_head.bias": "4" * 64}, TRAINED, "added"),
        (AFTER, (*TRAINED, "base_model.model.model.norm.weight"), "no LoRA matrices"),
        (AFTER, (*TRAINED, "base_model.model.lm_head.lora_A.default.weight"), "no LoRA matrices"),
        (AFTER, (), "0 trained"),
    ],
)
def test_anything_more_than_lora_breaks_the_proof_and_is_named(after, trained, reason):
    proof = prove(BEFORE, after, trained)
    assert not proof.holds
    with pytest.raises(InputError, match=reason):
        proof.demand()


def test_a_proof_about_no_tensors_does_not_hold():
    assert not prove({}, {}, TRAINED).holds


def test_two_tensors_that_would_get_one_name_are_refused():
    with pytest.raises(InputError, match="two base tensors"):
        prove(BEFORE, AFTER | {f"{WRAPPED}.weight": "2" * 64}, TRAINED)


def test_quantisation_state_is_part_of_the_base():
    assert base_tensor_name(f"{WRAPPED}.base_layer.weight.absmax") == "model.layers.0.self_attn.q_proj.weight.absmax"
    assert base_tensor_name("model.norm.weight") == "model.norm.weight"
    assert base_tensor_name(f"{WRAPPED}.lora_A.banking-lora.weight") is None


def test_a_lora_matrix_is_known_in_a_file_and_in_a_model():
    module = "model.layers.0.self_attn.q_proj"
    assert lora_module(f"{WRAPPED}.lora_A.weight") == (module, "A")
    assert lora_module(f"{WRAPPED}.lora_B.default.weight") == (module, "B")
    assert lora_module(f"{WRAPPED}.lora_B.bias") is None
    assert lora_module(f"{WRAPPED}.lora_magnitude_vector.default.weight") is None


@pytest.mark.parametrize(
    ("trained", "reason"),
    [
        (TRAINED[:1], "lora_B of .* was not trained"),
        ((*TRAINED, TRAINED[0].replace("q_proj", "k_proj")), "lora_A of .*k_proj was trained"),
        (("model.norm.weight",), "no LoRA matrix"),
    ],
)
def test_what_was_trained_must_be_both_matrices_of_each_module(trained, reason):
    check_trained(TRAINED, ["model.layers.0.self_attn.q_proj"])
    with pytest.raises(InputError, match=reason):
        check_trained(trained, ["model.layers.0.self_attn.q_proj"])


digests = st.dictionaries(st.from_regex(r"\Amodel\.[a-z0-9.]{1,20}\Z"), st.sampled_from("0123456789abcdef"), min_size=1)


@given(digests, st.data())
def test_one_changed_tensor_is_always_found(before, data):
    name = data.draw(st.sampled_from(sorted(before)))
    after = before | {name: "another"}
    proof = prove(before, after, TRAINED)
    assert (proof.changed, proof.missing, proof.added) == ((name,), (), ())
    assert prove(before, before, TRAINED).holds
