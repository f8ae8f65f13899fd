"""The small model of a base's shape: what it keeps, and that it is small for every base."""

from typing import Any

import pytest
from lazily import lazily

from tunewright_trainer.common.exits import StageError
from tunewright_trainer.export.small_model import MOST_PARAMETERS, small_model

transformers = lazily("transformers")


def small(family: str, **changes: Any) -> "transformers.PreTrainedModel":
    return small_model(transformers.AutoConfig.for_model(family, **changes), transformers.AutoModelForCausalLM, trust_remote_code=False)


def rotary(factors: int) -> dict[str, Any]:
    return {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * factors, "long_factor": [2.0] * factors}


KEPT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "one key head for each query head": ("llama", {"num_attention_heads": 32, "num_key_value_heads": 32}, {"num_attention_heads": 2, "num_key_value_heads": 2}),
    "key heads that are shared": ("llama", {"num_attention_heads": 32, "num_key_value_heads": 8}, {"num_attention_heads": 4, "num_key_value_heads": 2}),
    "a single key head": ("gemma", {"num_attention_heads": 8, "num_key_value_heads": 1}, {"num_attention_heads": 4, "num_key_value_heads": 1}),
    "the head size": ("llama", {"hidden_size": 8192, "num_attention_heads": 64}, {"hidden_size": 256, "head_dim": 128}),
    "a head size of its own": ("qwen3", {"hidden_size": 1024, "num_attention_heads": 16, "head_dim": 128}, {"head_dim": 128}),
    "how the feed-forward width fits blocks of 32": ("llama", {"intermediate_size": 11000}, {"intermediate_size": 2 * 256 + 11000 % 32}),
    "tied weights": ("llama", {"tie_word_embeddings": True}, {"tie_word_embeddings": True}),
    "each kind of layer": ("gemma2", {}, {"layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2}),
    "a kind of layer that comes late": ("gemma3_text", {}, {"num_hidden_layers": 6}),
    "a short context": ("gpt2", {"n_positions": 1024}, {"n_positions": 1024}),
    "not a long one": ("llama", {"max_position_embeddings": 10_000_000}, {"max_position_embeddings": 32_768}),
    "two rotary tables": ("phi3", {"original_max_position_embeddings": 4096, "max_position_embeddings": 131_072, "rope_parameters": rotary(48)}, {"max_position_embeddings": 32_768, "original_max_position_embeddings": 4096}),
    "special tokens": ("llama", {"pad_token_id": 128_004, "eos_token_id": [128_001, 128_009]}, {"pad_token_id": 128_004 % 416, "eos_token_id": [128_001 % 416, 128_009 % 416]}),
    "embeddings narrower than the layers": ("opt", {"hidden_size": 1024, "word_embed_proj_dim": 512, "num_attention_heads": 16}, {"hidden_size": 128, "word_embed_proj_dim": 64}),
    "a fact of each layer": ("llama", {"num_hidden_layers": 4, "layer_types": ["full_attention"] * 4}, {"layer_types": ["full_attention"] * 2}),
}  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "kept"), KEPT.values(), ids=KEPT)
def test_properties_kept_from_the_base(family: str, changes: dict[str, Any], kept: dict[str, Any]) -> None:
    config = small(family, **changes).config
    assert {name: getattr(config, name) for name in kept} == kept


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8}),
        ("gemma2", {"hidden_size": 4608, "intermediate_size": 36864, "num_hidden_layers": 46, "num_attention_heads": 32, "num_key_value_heads": 16}),
        ("gpt2", {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    ],
)  # fmt: skip
def test_it_is_small_whatever_the_base(family: str, changes: dict[str, Any]) -> None:
    assert sum(parameter.numel() for parameter in small(family, **changes).parameters()) < MOST_PARAMETERS / 10


def test_no_two_kinds_of_matrix_have_the_same_shape() -> None:
    """The GenAI builder tells the head from the feed-forward by shape: with 512 tokens and a width of 256, it exported nonsense."""
    model = small("llama", hidden_size=208 * 32, num_attention_heads=32)  # 2 heads of 208: as wide as the first choice of a vocabulary
    assert model.config.vocab_size not in {model.config.hidden_size, model.config.intermediate_size}


def test_a_bias_is_not_zero() -> None:
    """What an exporter leaves out would not be missed otherwise."""
    assert all(parameter.any() for parameter in small("qwen2").parameters())


def test_it_is_the_same_in_each_run() -> None:
    first, second = (small("llama").state_dict() for _ in range(2))
    assert all(first[name].equal(second[name]) for name in first)


def test_a_base_that_cannot_be_reduced_is_refused_with_the_cause() -> None:
    with pytest.raises(StageError, match=r"llama cannot be reduced to test its export: more than .* parameters are left") as refused:
        small("llama", num_attention_heads=1, hidden_size=16384, num_key_value_heads=1)
    assert refused.value.reason == "ExportUnsupported"


ENCODER_DECODERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "relative positions": ("t5", {"num_layers": 8, "d_kv": 64, "d_ff": 1000}, {"d_kv": 64, "num_heads": 2, "num_layers": 2, "num_decoder_layers": 2, "d_ff": 256 + 1000 % 32}),
    "fewer layers in the decoder": ("bart", {"d_model": 1024, "encoder_layers": 12, "decoder_layers": 1}, {"d_model": 128, "encoder_layers": 2, "decoder_layers": 1, "decoder_attention_heads": 2}),
    "a start that pads": ("marian", {"pad_token_id": 58100, "decoder_start_token_id": 58100}, {"pad_token_id": 58100 % 416, "decoder_start_token_id": 58100 % 416, "decoder_vocab_size": 416}),
}  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "kept"), ENCODER_DECODERS.values(), ids=ENCODER_DECODERS)
def test_what_it_keeps_of_an_encoder_decoder(family: str, changes: dict[str, Any], kept: dict[str, Any]) -> None:
    made = small_model(transformers.AutoConfig.for_model(family, **changes), transformers.AutoModelForSeq2SeqLM, trust_remote_code=False)
    assert {name: getattr(made.config, name) for name in kept} == kept
