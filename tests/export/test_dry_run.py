"""Check's test export before training: a row is a family, an adapter or a fault that Export would meet."""

import dataclasses
import errno
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lazily import lazily
from small_volume import small_volume

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.trainer_config import ExportConfig, MethodConfig, Precision
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings

dry_run = lazily("tunewright_trainer.export.dry_run")
modeling_auto = lazily("transformers.models.auto.modeling_auto")
onnx_genai = lazily("tunewright_trainer.export.onnx_genai")
transformers = lazily("transformers")

Job = Callable[..., Settings]
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
LARGE = {"hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8}


def base(family: str, **changes: Any) -> "transformers.PretrainedConfig":
    """A base's configuration as it is read: transformers' defaults for the family, which are those of a real model."""
    config = transformers.AutoConfig.for_model(family, **changes)
    config.architectures = [modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__name__]
    return config


@pytest.fixture
def rehearse(job: Job) -> Callable[..., None]:
    """Try out the export of a base with this configuration."""

    settings = job(base="llama")

    def run(config: "transformers.PretrainedConfig", *, precision: Precision = "fp32", **method: Any) -> None:
        asked = MethodConfig(**{"lora": {"r": 4, "target_modules": "all-linear"}, **method})
        changes = {"export": ExportConfig(precision=precision), "method": asked}
        dry_run.dry_run_export(dataclasses.replace(settings, config=settings.config.model_copy(update=changes)), config)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "precision"),
    [
        ("phi3", "int4"),
        ("gemma2", "int8"),
        ("gpt2", "fp32"),
        *(
            pytest.param(family, precision, marks=pytest.mark.matrix)
            for family in (
                "cohere", "falcon", "gemma", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "granite", "llama", "mistral", "olmo", "opt", "phi",
                "phi3", "qwen2", "qwen3", "stablelm", "starcoder2",
            )
            for precision in ("int8", "int4")
        ),
    ],
)  # fmt: skip
def test_families_that_export(rehearse, family: str, precision: Precision) -> None:
    rehearse(base(family), precision=precision)


WINDOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "every layer of Phi-3-mini": ("phi3", {"sliding_window": 2047}),
    "every layer of Mistral 0.1": ("mistral", {"sliding_window": 4096}),
    "layers named by layer_types": ("qwen2", {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 0}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("family", "changes"), WINDOWS.values(), ids=WINDOWS)
def test_a_sliding_window_is_exported(rehearse, family: str, changes: dict[str, Any]) -> None:
    """The small model's window is shorter than its sequences; without it, the later tokens would see too much."""
    rehearse(base(family, **changes))


def lora(**arguments: Any) -> dict[str, Any]:
    return {"lora": {"r": 4, "target_modules": "all-linear", **arguments}}


WAYS: dict[str, dict[str, Any]] = {
    "full": {"tuner": "full", "lora": None},
    "dora": lora(use_dora=True),
    "4 bit": {"quantization": NF4},
    "8 bit": {"quantization": {"load_in_8bit": True}},
    "rslora, with the biases": lora(use_rslora=True, bias="all"),
    "a start from the base's weights": lora(init_lora_weights="pissa_niter_4"),
    "layers that the small model lacks": lora(layers_to_transform=[70, 79]),
    "a pattern of such layers": lora(target_modules=r".*\.layers\.7[0-9]\..*o_proj"),
    "tokens that it lacks": lora(trainable_token_indices=[151_000]),
    "a head trained in full": lora(target_modules=["q_proj"], modules_to_save=["lm_head"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", WAYS.values(), ids=WAYS)
def test_tuners_and_precisions_that_export(rehearse, method: dict[str, Any]) -> None:
    rehearse(base("qwen2", **LARGE), **method)


@pytest.mark.slow
def test_an_adapter_that_cannot_be_merged_is_refused(rehearse) -> None:
    """PEFT warns only: a bias of the adapter has no place where the layer has none."""
    with pytest.raises(StageError, match=r"llama cannot be exported .*bias") as refused:
        rehearse(base("llama"), **lora(lora_bias=True))
    assert refused.value.reason == "ExportUnsupported"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "cause"),
    [
        ("gemma3_text", "KeyError: 'rope_type'"),
        pytest.param("mixtral", "ConversionError", marks=pytest.mark.matrix),
    ],
)
def test_a_family_that_cannot_be_exported_is_refused_with_the_cause(rehearse, family: str, cause: str) -> None:
    with pytest.raises(StageError, match=rf"{family} cannot be exported to ONNX in fp32 \(tried on a small model.*{cause}") as refused:
        rehearse(base(family))
    assert (refused.value.code, refused.value.reason) == (ExitCode.CONFIGURATION, "ExportUnsupported")
    assert "Choose another base" in refused.value.suggestion
    assert "trained weights are complete" not in f"{refused.value.message} {refused.value.suggestion}"  # nothing is trained yet


def of_other_weights(real: Callable[..., None]) -> Callable[..., None]:
    """An exporter that writes a sound graph of another model."""

    def build(model_dir: Path, folder: Path, *, precision: Precision, window: int | None) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(model_dir / "model.safetensors")
        save_file(
            {name: tensor.flip(0).contiguous() for name, tensor in weights.items()}, model_dir / "model.safetensors", {"format": "pt"}
        )
        real(model_dir, folder, precision=precision, window=window)

    return build


def only_in_fp32(real: Callable[..., None]) -> Callable[..., None]:
    def build(model_dir: Path, folder: Path, *, precision: Precision, window: int | None) -> None:
        if precision != "fp32":
            raise IndexError("no block of this size")
        real(model_dir, folder, precision=precision, window=window)

    return build


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message", "way_out"),
    [
        (of_other_weights, "in fp32 .*: the logits: the export is off by", "another base"),
        (only_in_fp32, "in int8 .*: the genai exporter cannot take architecture llama: IndexError: no block", "fp32 can be exported"),
    ],
)
def test_a_wrong_export_is_detected(rehearse, monkeypatch, fault: Callable, message: str, way_out: str) -> None:
    monkeypatch.setattr("tunewright_trainer.export.onnx_genai.build", fault(onnx_genai.build))
    with pytest.raises(StageError, match=message) as refused:
        rehearse(base("llama"), precision="int8")
    assert way_out in refused.value.suggestion


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError(errno.ENOSPC, "No space left on device"), "DiskFull"), (MemoryError(), "OutOfMemory")]
)
def test_an_error_of_the_machine_is_not_reported_as_the_bases(rehearse, monkeypatch, error: Exception, reason: str) -> None:
    def build(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("tunewright_trainer.export.onnx_genai.build", build)
    with pytest.raises(StageError) as told:
        rehearse(base("llama"))
    assert told.value.reason == reason


def test_a_full_volume_for_temporary_files_is_reported_as_full(rehearse, monkeypatch, tmp_path) -> None:
    with small_volume(tmp_path / "temporary") as volume:
        monkeypatch.setattr(tempfile, "tempdir", str(volume))
        with pytest.raises(StageError) as told:
            rehearse(base("llama"))
    assert (told.value.code, told.value.reason) == (ExitCode.RETRY, "DiskFull")
    assert told.value.suggestion.startswith("Free space on the full volume")
    monkeypatch.undo()
    rehearse(base("llama"))  # the suggestion is followed


@pytest.mark.parametrize(("start", "end"), [("A" * 3000, "the reason"), ("the reason", "B" * 3000)])
def test_a_long_cause_is_shortened_in_the_middle(rehearse, monkeypatch, start: str, end: str) -> None:
    def build(*_: object, **__: object) -> None:
        raise RuntimeError(start) from ValueError(end)

    monkeypatch.setattr("tunewright_trainer.export.onnx_genai.build", build)
    with pytest.raises(StageError) as refused:
        rehearse(base("llama"))
    assert "the reason" in refused.value.message
    assert len(refused.value.message) < 2000  # a termination message holds 4096 bytes
