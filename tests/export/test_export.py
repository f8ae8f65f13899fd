"""The stage as a whole: from `final/` to a model folder."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from lazily import lazily

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import MANIFEST_NAME, ModelManifest
from tunewright_contract.reports import ExportReport, load
from tunewright_contract.trainer_config import EvaluationConfig, Precision
from tunewright_trainer.common.exits import StageError, stage_error
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.export import lineage, publish
from tunewright_trainer.recipes import causal_lm
from tunewright_trainer.recipes.export import run

convert = lazily("tunewright_trainer.export.convert")
transformers = lazily("transformers")

Job = Callable[..., Settings]
QUICK = EvaluationConfig(max_samples=2)
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"}


def manifest(settings: Settings) -> ModelManifest:
    found = publish.verify(settings.publish_dir)
    assert found is not None
    return found


def test_the_folder_holds_what_the_server_reads(published: Settings) -> None:
    assert sorted(path.name for path in published.publish_dir.iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "evaluation.json",
        "genai_config.json",
        "generation_config.json",
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "tokenizer_config.json",
        MANIFEST_NAME,
    ]


def test_every_file_but_the_manifest_is_listed_in_it(published: Settings) -> None:
    on_disk = {path.name for path in published.publish_dir.iterdir()}
    assert {file.path for file in manifest(published).files} == on_disk - {MANIFEST_NAME}


def test_no_temporary_files_are_left(published: Settings) -> None:
    assert [path.name for path in published.publish_dir.parent.iterdir()] == ["r1"]
    assert sorted(path.name for path in published.output_dir.iterdir()) == ["final", "merged"]


def test_the_tokenizer_is_the_bases_byte_for_byte(published: Settings) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (published.publish_dir / name).read_bytes() == (published.model_dir / name).read_bytes()


def test_the_manifest_has_the_facts_for_the_server(published: Settings) -> None:
    found = manifest(published)
    assert (found.name, found.revision, found.task, found.architecture, found.precision) == (
        "nails",
        "r1",
        "ChatCompletion",
        "phi3",
        "fp32",
    )
    assert (found.context_length, found.vocab_size, found.long_rope_switch) == (256, tiny.VOCAB_SIZE, None)
    assert (found.bos_token_id, found.eos_token_ids, found.pad_token_id) == (None, [tiny.EOS_ID, tiny.END_ID], tiny.PAD_ID)


def test_the_manifest_has_the_lineage(published: Settings) -> None:
    lineage = manifest(published).lineage
    assert (lineage.namespace, lineage.job, lineage.uid, lineage.revision) == ("team-a", "nails", "0f0f", "r1")
    assert lineage.base.startswith("sha256:")
    assert lineage.method["lora"]["r"] == 4
    assert (lineage.metrics["train_loss"], lineage.metrics["steps"]) == (1.25, 12.0)
    assert {"torch", "transformers", "peft", "onnxruntime", "onnxruntime-genai"} <= set(lineage.versions)


def test_fp32_has_parity_and_both_models_are_scored(published: Settings) -> None:
    found = manifest(published)
    assert found.parity.max_logit_difference < 1e-3
    assert found.parity.top1_agreement == 1.0
    assert found.parity.positions > 100
    assert found.evaluation.base.samples == found.evaluation.tuned.samples == 10
    assert found.evaluation.base.loss != found.evaluation.tuned.loss
    assert found.evaluation.tuned.exact_match is not None


def test_the_model_card_has_the_same_facts(published: Settings) -> None:
    card = (published.publish_dir / "README.md").read_text()
    for part in ("# nails", "team-a/nails, revision r1", "sft, LoRA", "On 10 held-out examples", "top-1 agreement 1.0000"):
        assert part in card


def test_a_second_run_returns_at_once(published: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (published.publish_dir / MANIFEST_NAME).stat().st_mtime_ns
    monkeypatch.setattr(causal_lm, "export", lambda *_: pytest.fail("assembled again"))
    report = run(published)
    assert (published.publish_dir / MANIFEST_NAME).stat().st_mtime_ns == before
    assert report.artifacts[0].path == "nails/r1"
    assert report.evaluation == manifest(published).evaluation


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("dora", {"lora": {"use_dora": True}}),
        ("qlora", {"quantization": NF4}),
        ("qdora", {"lora": {"use_dora": True}, "quantization": NF4}),
        ("full", {"full": True}),
        ("tied head", {"base": "llama", "lora": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}}),
    ],
)
def test_every_method_is_exported_exactly(job: Job, kind: str, options: dict) -> None:
    settings = job(evaluation=QUICK, **options)
    run(settings)
    assert manifest(settings).parity.max_logit_difference < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_an_architecture_unknown_to_the_builder_is_exported_by_torch(job: Job, precision: Precision) -> None:
    settings = job(base="gpt2", lora={"fan_in_fan_out": True}, precision=precision, evaluation=QUICK)
    run(settings)
    found = manifest(settings)
    assert (found.graph.cache, found.context_length) == ("dynamic_cache", 256)
    assert found.parity.mean_kl < {"fp32": 1e-9, "int8": 1e-3, "int4": 1e-2}[precision]
    assert not (settings.publish_dir / "genai_config.json").exists()


@pytest.mark.parametrize(("precision", "kl"), [("int8", 0.02), ("int4", 0.3)])
def test_fewer_bits_make_a_smaller_folder_that_is_still_close(
    published: Settings, job: Job, with_precision: Callable[[Settings, Precision], Settings], precision: Precision, kl: float
) -> None:
    settings = with_precision(job(evaluation=QUICK), precision)
    report = run(settings)
    whole = next(file for file in manifest(published).files if file.path == "model.onnx.data")
    small = next(file for file in manifest(settings).files if file.path == "model.onnx.data")
    assert small.bytes < whole.bytes / 2
    assert 0 < report.artifacts[0].parity.mean_kl < kl


def test_another_precision_replaces_what_is_published(job: Job, with_precision: Callable[[Settings, Precision], Settings]) -> None:
    settings = job(evaluation=QUICK)
    run(settings)
    run(with_precision(settings, "int8"))
    assert manifest(settings).precision == "int8"


def test_a_long_rope_model_names_the_length_at_which_it_switches(job: Job, bases: dict[str, Path], tmp_path: Path) -> None:
    factors = {"rope_type": "longrope", "type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
    model = tiny.phi3(original_max_position_embeddings=128, rope_parameters={**factors, "original_max_position_embeddings": 128})
    bases["longrope"] = tiny.save_base(model, tmp_path / "base")
    settings = job(base="longrope", evaluation=QUICK)
    run(settings)
    assert manifest(settings).long_rope_switch == 128


def test_sampling_defaults_of_the_base_do_not_affect_parity(job: Job, bases: dict[str, Path], tmp_path: Path) -> None:
    bases["sampling"] = tiny.save_base(tiny.phi3(), tmp_path / "base")
    defaults = transformers.GenerationConfig(eos_token_id=[tiny.EOS_ID]).to_dict() | {"do_sample": False, "temperature": 0.6, "top_p": 0.9}
    (bases["sampling"] / "generation_config.json").write_text(json.dumps(defaults))
    settings = job(base="sampling", evaluation=QUICK)
    run(settings)
    assert json.loads((settings.publish_dir / "generation_config.json").read_text()) == defaults


def test_an_exporter_that_fails_is_named_and_the_merged_model_is_kept(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("The model is not currently supported.")

    monkeypatch.setattr(convert.onnx_genai, "build", refuse)
    settings = job(evaluation=QUICK)
    with pytest.raises(StageError, match=r"genai exporter cannot take architecture phi3: NotImplementedError: The model") as raised:
        run(settings)
    assert (raised.value.code, raised.value.reason) == (ExitCode.CONFIGURATION, "ExportUnsupported")
    assert (settings.output_dir / "merged" / "model.safetensors").is_file()
    assert not settings.publish_dir.exists()


def test_a_full_disk_is_retried_and_keeps_the_published_model(
    job: Job, monkeypatch: pytest.MonkeyPatch, with_precision: Callable[[Settings, Precision], Settings]
) -> None:
    settings = job(evaluation=QUICK)
    run(settings)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lineage, "write_card", full)
    with pytest.raises(OSError) as raised:
        run(with_precision(settings, "int8"))
    assert (stage_error(raised.value).code, stage_error(raised.value).reason) == (ExitCode.RETRY, "DiskFull")
    assert manifest(settings).precision == "fp32"
    assert [path.name for path in settings.publish_dir.parent.iterdir()] == ["r1"]


def test_without_a_publish_folder_export_does_not_begin(job: Job) -> None:
    import dataclasses

    with pytest.raises(StageError, match=environment.PUBLISH_DIR):
        run(dataclasses.replace(job(), publish_dir=None))


@pytest.mark.slow
def test_the_command_leaves_its_report_as_the_termination_message(published: Settings, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(published.config.model_dump_json())
    env = {
        **os.environ,
        environment.CONFIG: str(config),
        environment.MODEL_DIR: str(published.model_dir),
        environment.DATA_DIR: str(published.data_dir),
        environment.OUTPUT_DIR: str(published.output_dir),
        environment.PUBLISH_DIR: str(tmp_path / "models" / "nails" / "r1"),
        environment.TERMINATION_LOG: str(tmp_path / "termination"),
    }
    done = subprocess.run([sys.executable, "-m", "tunewright_trainer", "export"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = load((tmp_path / "termination").read_text())
    assert isinstance(report, ExportReport)
    assert report.artifacts[0].parity.top1_agreement == 1.0
