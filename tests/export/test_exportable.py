"""Architectures that Check accepts: a row is a `model_type` with the fields that identify it."""

import pytest
from lazily import lazily

from tunewright_trainer.common.exits import StageError
from tunewright_trainer.export.exportable import require_attention, require_exportable

transformers = lazily("transformers")

TAKEN = [
    "cohere", "falcon", "gemma", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "granite", "llama", "mistral", "olmo", "opt", "phi", "phi3", "qwen2",
    "qwen3", "stablelm", "starcoder2",
]  # fmt: skip


@pytest.mark.parametrize("family", TAKEN)
def test_dense_decoders_with_a_cache_are_accepted(family: str) -> None:
    require_exportable(transformers.AutoConfig.for_model(family), transformers.AutoModelForCausalLM)


@pytest.mark.parametrize(
    ("family", "cause"),
    [
        ("mixtral", r"mixture of experts \(num_local_experts: 8\)"),
        ("qwen2_moe", "mixture of experts"),
        ("qwen3_moe", "mixture of experts"),
        ("deepseek_v3", "mixture of experts"),
        ("mamba", "recurrent state"),
        ("rwkv", "recurrent state"),
        ("gemma3", "no hidden_size of its own"),
        ("qwen2_vl", "no hidden_size of its own"),
        ("bloom", "max_position_embeddings"),
        ("mpt", "max_position_embeddings"),
        ("gemma3_text", r"different rotary tables \(rope_parameters: full_attention, sliding_attention\)"),
    ],
)
def test_unsupported_architectures_are_refused_with_the_cause(family: str, cause: str) -> None:
    with pytest.raises(StageError, match=f"architecture {family} cannot be exported to ONNX: .*{cause}") as refused:
        require_exportable(transformers.AutoConfig.for_model(family), transformers.AutoModelForCausalLM)
    assert refused.value.reason == "ExportUnsupported"


@pytest.mark.parametrize(
    ("family", "attention"),
    [("gemma2", "sdpa"), ("gpt_neo", "sdpa"), ("gpt_neo", "flex_attention"), ("falcon", "flex_attention"), ("bloom", "flash_attention_2")],
)
def test_an_attention_that_the_architecture_lacks_is_refused(family: str, attention: str) -> None:
    """transformers raises when it loads such a model: in Train, after the accelerator was taken."""
    with pytest.raises(StageError, match=f"model.attnImplementation {attention}: .* {family}") as refused:
        require_attention(transformers.AutoConfig.for_model(family), attention, transformers.AutoModelForCausalLM)
    assert refused.value.suggestion == "Set model.attnImplementation: eager."
    require_attention(transformers.AutoConfig.for_model(family), "eager", transformers.AutoModelForCausalLM)


@pytest.mark.parametrize(
    ("family", "attention"), [("llama", "sdpa"), ("phi3", "flash_attention_2"), ("qwen3", "flex_attention"), ("gemma2", None)]
)
def test_a_supported_attention_is_accepted(family: str, attention: str | None) -> None:
    require_attention(transformers.AutoConfig.for_model(family), attention, transformers.AutoModelForCausalLM)
