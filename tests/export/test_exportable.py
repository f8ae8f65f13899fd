"""Which architectures Check takes: a row is a `model_type` with what it needs to be recognised."""

import pytest
from transformers import AutoConfig

from tunewright_trainer.exits import StageError
from tunewright_trainer.exportable import require_exportable

TAKEN = [
    "cohere", "falcon", "gemma", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "granite", "llama", "mistral", "olmo", "opt", "phi", "phi3", "qwen2",
    "qwen3", "stablelm", "starcoder2",
]  # fmt: skip


@pytest.mark.parametrize("family", TAKEN)
def test_dense_decoders_with_a_cache_are_taken(family: str) -> None:
    require_exportable(AutoConfig.for_model(family))


@pytest.mark.parametrize(
    ("family", "cause"),
    [
        ("mixtral", r"mixture of experts \(num_local_experts: 8\)"),
        ("qwen2_moe", "mixture of experts"),
        ("qwen3_moe", "mixture of experts"),
        ("deepseek_v3", "mixture of experts"),
        ("mamba", "recurrent state"),
        ("rwkv", "recurrent state"),
        ("bloom", "max_position_embeddings"),
        ("mpt", "max_position_embeddings"),
        ("gemma3_text", r"rotary tables of their own kinds \(rope_parameters: full_attention, sliding_attention\)"),
    ],
)
def test_what_no_exporter_takes_is_refused_with_the_cause(family: str, cause: str) -> None:
    with pytest.raises(StageError, match=f"architecture {family} cannot be exported to ONNX: .*{cause}") as refused:
        require_exportable(AutoConfig.for_model(family))
    assert refused.value.reason == "ExportUnsupported"
