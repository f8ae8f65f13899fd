"""Counting a model without having it: against the published figures, and against the models and PEFT themselves on the meta device."""

import pytest
from lazily import lazily
from plan_jobs import PHI3_MEDIUM, PHI3_MINI

from tunewright.plan.memory.architectures import UnknownArchitecture, shapes_of
from tunewright.plan.memory.counts import linear_modules, lora_parameters, model_facts, parameters, shapes_of_header, targeted_modules

peft = lazily("peft")
torch = lazily("torch")
transformers = lazily("transformers")

PER_LAYER = {"qkv_proj": 32, "o_proj": 32, "gate_up_proj": 32, "down_proj": 32}


def trained(config, target="all-linear", **lora):
    return model_facts(config, lora={"r": 8, "target_modules": target, **lora}).trainable_parameters


def test_phi3_mini_and_medium():
    assert model_facts(PHI3_MINI).parameters == 3_821_079_552
    assert model_facts(PHI3_MEDIUM).parameters == 13_960_238_080


@pytest.mark.parametrize(
    ("config", "target", "counts"),
    [
        (PHI3_MINI, ["qkv_proj"], [3_145_728, 3_440_640, 6_291_456, 25_165_824]),
        (PHI3_MINI, ["qkv_proj", "o_proj"], [4_718_592, 5_111_808, 9_437_184, 37_748_736]),
        (PHI3_MINI, "all-linear", [12_582_912, 13_598_720, 25_165_824, 100_663_296]),
        (PHI3_MEDIUM, "all-linear", [27_852_800, 30_003_200, 55_705_600, 222_822_400]),
    ],
    ids=["mini qkv", "mini qkv+o", "mini all-linear", "medium all-linear"],
)
def test_the_table_of_trainable_parameters(config, target, counts):
    lora_8, dora_8 = trained(config, target), trained(config, target, use_dora=True)
    assert counts == [lora_8, dora_8, trained(config, target, r=16), trained(config, target, r=64)]


@pytest.mark.parametrize("lora", [None, {"r": 8, "target_modules": "all-linear", "modules_to_save": ["embed_tokens"]}])
def test_a_classifiers_head_replaces_the_language_models(lora):
    labels = {str(number): str(number) for number in range(5)}
    with torch.device("meta"):
        config = transformers.AutoConfig.for_model(**{**PHI3_MINI, "num_hidden_layers": 2, "id2label": labels, "pad_token_id": 0})
        model = transformers.AutoModelForSequenceClassification.from_config(config)
    whole = sum(parameter.numel() for parameter in model.parameters())
    trained = (
        whole if lora is None else peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **lora)).get_nb_trainable_parameters()[0]
    )
    found = model_facts({**PHI3_MINI, "num_hidden_layers": 2}, lora=lora, labels=5)
    assert (found.parameters, found.trainable_parameters) == (whole, trained)


def test_kaitos_llama_names_adapt_only_o_proj_of_a_phi3():
    assert trained(PHI3_MINI, ["q_proj", "k_proj", "v_proj", "o_proj"]) == 1_572_864


def test_the_facts_of_phi3_mini():
    facts = model_facts(PHI3_MINI, lora={"r": 8, "target_modules": "all-linear"})
    assert facts.linear_parameters == 3_623_878_656
    assert facts.largest_layer_parameters == 98_500_608
    assert (facts.architecture, facts.hidden_size, facts.layers, facts.vocab_size, facts.context_length) == ("phi3", 3072, 32, 32064, 4096)
    assert facts.target_modules == PER_LAYER


def test_a_full_fine_tune_trains_everything_and_targets_nothing():
    facts = model_facts(PHI3_MINI)
    assert (facts.trainable_parameters, facts.target_modules) == (facts.parameters, {})


SMALL = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GPT2 = {"vocab_size": 320, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128, "bos_token_id": 1, "eos_token_id": 2}
FAMILIES = {
    "phi3": SMALL | {"model_type": "phi3"},
    "llama": SMALL | {"model_type": "llama"},
    "llama tied": SMALL | {"model_type": "llama", "tie_word_embeddings": True},
    "llama biased": SMALL | {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "head_dim": 24},
    "mistral": SMALL | {"model_type": "mistral"},
    "ministral": SMALL | {"model_type": "ministral", "head_dim": 16},
    "qwen2": SMALL | {"model_type": "qwen2"},
    "qwen3": SMALL | {"model_type": "qwen3"},
    "smollm3": SMALL | {"model_type": "smollm3"},
    "granite": SMALL | {"model_type": "granite"},
    "gemma": SMALL | {"model_type": "gemma"},
    "gemma2": SMALL | {"model_type": "gemma2"},
    "gemma3_text": SMALL | {"model_type": "gemma3_text"},
    "phi": SMALL | {"model_type": "phi"},
    "phi normed": SMALL | {"model_type": "phi", "qk_layernorm": True, "tie_word_embeddings": True},
    "gpt2": GPT2 | {"model_type": "gpt2"},
    "gpt2 untied": GPT2 | {"model_type": "gpt2", "tie_word_embeddings": False, "n_inner": 100},
}


def on_meta(config):
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config))


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_every_family_has_the_names_and_shapes_of_its_transformers_model(config):
    assert shapes_of(config) == {name: tuple(parameter.shape) for name, parameter in on_meta(config).named_parameters()}


LORAS = {
    "all-linear": {"r": 4, "target_modules": "all-linear"},
    "dora": {"r": 4, "target_modules": "all-linear", "use_dora": True},
    "some modules": {"r": 4, "target_modules": ["q_proj", "down_proj"]},
    "a pattern": {"r": 4, "target_modules": r".*\.(q|v)_proj"},
    "without some": {"r": 4, "target_modules": "all-linear", "exclude_modules": ["o_proj"]},
    "one layer": {"r": 4, "target_modules": ["q_proj"], "layers_to_transform": 1},
    "two layers by pattern": {"r": 4, "target_modules": ["q_proj"], "layers_to_transform": [0, 2], "layers_pattern": ["layers"]},
    "ranks by pattern": {"r": 4, "target_modules": ["q_proj", "v_proj"], "rank_pattern": {"v_proj": 16}},
    "with embeddings": {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "norms, by the end of their names": {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["norm"]},
    "whole blocks": {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["mlp"]},
    "tokens": {"r": 4, "target_modules": ["q_proj"], "trainable_token_indices": [0, 1, 2]},
    "lora bias": {"r": 4, "target_modules": ["q_proj"], "lora_bias": True},
    "all biases": {"r": 4, "target_modules": ["q_proj"], "bias": "all"},
    "their biases": {"r": 4, "target_modules": ["q_proj"], "bias": "lora_only"},
}


@pytest.mark.parametrize("lora", LORAS.values(), ids=LORAS)
def test_trainable_parameters_equal_pefts(lora):
    config = FAMILIES["llama biased"]
    model = peft.get_peft_model(on_meta(config), peft.LoraConfig(task_type="CAUSAL_LM", **lora))
    assert lora_parameters(shapes_of(config), lora) == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("family", ["gpt2", "phi3", "gemma3_text"])
def test_dora_counts_outputs_of_every_family(family):
    lora = {"r": 4, "target_modules": "all-linear", "use_dora": True}
    model = peft.get_peft_model(on_meta(FAMILIES[family]), peft.LoraConfig(task_type="CAUSAL_LM", **lora))
    assert lora_parameters(shapes_of(FAMILIES[family]), lora) == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_layers_that_no_pattern_matches_are_not_adapted():
    lora = {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "blocks"}
    assert targeted_modules(shapes_of(FAMILIES["llama"]), lora) == {}


HEADER = {
    "__metadata__": {"format": "pt"},
    "model.embed_tokens.weight": {"dtype": "BF16", "shape": [320, 64], "data_offsets": [0, 40960]},
    "model.layers.0.self_attn.rotary_emb.inv_freq": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]},
    "model.layers.0.self_attn.q_proj.weight": {"dtype": "BF16", "shape": [64, 64], "data_offsets": [0, 8192]},
    "model.layers.0.mlp.experts.0.w1.weight": {"dtype": "BF16", "shape": [160, 64], "data_offsets": [0, 20480]},
    "model.norm.weight": {"dtype": "BF16", "shape": [64], "data_offsets": [0, 128]},
    "lm_head.weight": {"dtype": "BF16", "shape": [320, 64], "data_offsets": [0, 40960]},
}


def test_a_safetensors_header_gives_the_same_counts_for_an_unknown_family():
    facts = model_facts(SMALL | {"model_type": "brand_new"}, shapes=shapes_of_header(HEADER), lora={"r": 8})
    assert facts.parameters == 2 * 320 * 64 + 64 * 64 + 160 * 64 + 64
    assert facts.linear_parameters == 64 * 64, "experts are fused when transformers loads them"
    assert facts.trainable_parameters == 8 * (64 + 64)
    assert facts.architecture == "brand_new"


def test_a_tied_head_that_a_checkpoint_holds_twice_is_counted_once():
    tied = model_facts(SMALL | {"tie_word_embeddings": True}, shapes=shapes_of_header(HEADER))
    assert tied.parameters == 320 * 64 + 64 * 64 + 160 * 64 + 64


def test_the_decoder_of_a_multimodal_configuration_is_counted():
    assert model_facts({"model_type": "gemma3", "text_config": FAMILIES["gemma3_text"]}).parameters == parameters(
        shapes_of(FAMILIES["gemma3_text"])
    )


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(UnknownArchitecture, match=r"'mamba' is not among gemma, .*phi3"):
        model_facts({"model_type": "mamba"})


def test_a_configuration_that_lacks_a_key_is_refused_with_its_name():
    with pytest.raises(KeyError, match="max_position_embeddings"):
        model_facts({key: value for key, value in FAMILIES["llama"].items() if key != "max_position_embeddings"})


def test_the_output_head_and_the_embeddings_are_not_linear_modules():
    names = {name.rsplit(".", 1)[-1] for name in linear_modules(shapes_of(FAMILIES["phi"]))}
    assert names == {"q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"}
