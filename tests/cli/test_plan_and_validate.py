"""`plan` and `validate`: the plan and the faults of a job before a run."""

import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from stored_jobs import QUICKSTART

EXAMPLES = sorted(QUICKSTART.parent.glob("*.yaml"))


def documents(text: str) -> list[dict]:
    return list(YAML(typ="safe").load_all(io.StringIO(text)))


def change(old: str, new: str) -> str:
    text = QUICKSTART.read_text()
    assert old in text
    return text.replace(old, new)


def test_a_plan_in_words_names_stages_zero_choice_and_memory(call):
    ended = call("plan", str(QUICKSTART), "-o", "explain")
    assert (ended.exit_code, ended.stderr) == (0, "")
    for shown in (
        "Train        Job support-bot-train-0: 2 ranks, ZeRO-2, LoRA r=16",
        "Serve        Deployment support-bot-serve: 1 x support-bot",
        "frozen x 4 B",
        "Memory per rank, for every option",
        "chosen, fits",
        f"counted from the headers in {QUICKSTART.parent}/base-model/model",
    ):
        assert shown in ended.stdout
    assert "apiVersion" not in ended.stdout


def test_a_plan_as_yaml_holds_only_manifests_in_the_order_of_applying(call):
    planned = documents(call("plan", str(QUICKSTART), "-o", "yaml").stdout)
    assert [list(item)[:3] for item in planned] == [["apiVersion", "kind", "metadata"]] * len(planned)
    assert planned[0]["metadata"]["name"].startswith("support-bot-config-")
    assert [(item["kind"], item["metadata"]["name"]) for item in planned if item["kind"] in {"Job", "Deployment"}] == [
        ("Job", "support-bot-check"),
        ("Job", "support-bot-train-0"),
        ("Job", "support-bot-export"),
        ("Deployment", "support-bot-serve"),
    ]
    assert json.loads(planned[0]["data"]["config.json"])["worldSize"] == 2


def test_long_texts_in_yaml_are_readable_and_no_line_is_folded(call):
    text = call("plan", str(QUICKSTART), "-o", "yaml").stdout
    assert "  config.json: |\n    {\n" in text
    assert "fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']" in text


def test_the_text_is_the_words_and_the_manifests(call):
    words, manifests = (call("plan", str(QUICKSTART), "-o", style).stdout for style in ("explain", "yaml"))
    assert call("plan", str(QUICKSTART)).stdout == words + manifests


def test_a_plan_changes_nothing(call, home, tmp_path: Path):
    before = sorted(tmp_path.rglob("*"))
    assert call("plan", str(QUICKSTART)).exit_code == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new", "method"),
    [
        ("    lora: {r: 16, loraAlpha: 32, targetModules: all-linear}\n", "", "LoRA r="),
        ("tuner: lora\n    lora: {r: 16, loraAlpha: 32, targetModules: all-linear}", "tuner: full", "full fine-tune"),
    ],
    ids=["lora as it comes", "full"],
)
def test_settings_that_are_left_out_are_planned_with_their_defaults(call, manifest, tmp_path: Path, *, old: str, new: str, method: str):
    (tmp_path / "base-model").symlink_to(QUICKSTART.parent / "base-model")
    ended = call("plan", str(manifest(change(old, new))), "-o", "explain")
    assert ended.exit_code == 0, ended.output
    assert f"Job support-bot-train-0: 2 ranks, ZeRO-2, {method}" in ended.stdout
    assert "counted from the headers" in ended.stdout


def test_parameters_of_other_adapters_are_counted_by_check(call, manifest, tmp_path: Path):
    (tmp_path / "base-model").symlink_to(QUICKSTART.parent / "base-model")
    lora = "tuner: lora\n    lora: {r: 16, loraAlpha: 32, targetModules: all-linear}"
    ended = call("plan", str(manifest(change(lora, "tuner: ia3"))), "-o", "explain")
    assert ended.exit_code == 0, ended.output
    assert "Check counts what the tuner ia3 trains" in ended.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid_and_has_a_plan(call, path: Path):
    assert "is valid" in call("validate", str(path)).stdout
    assert documents(call("plan", str(path), "-o", "yaml").stdout)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _sparse(path: Path, size: int) -> None:
    """A sparse file of this size whose first bytes declare one header."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", size - 8))
        file.truncate(size)


@pytest.mark.parametrize(
    ("spoil", "how"),
    [
        (lambda model: (model / "config.json").write_text("{"), "cannot be read"),
        (lambda model: (model / "config.json").unlink(), "cannot be read"),
        (lambda model: (model / "config.json").write_text('{"model_type": "perceptron"}'), "cannot be counted"),
        (lambda model: (model / "config.json").write_text("[]"), "is not a map of settings"),
        (lambda model: (model / "model.safetensors").write_bytes(b"\xff" * 100), "or is not a safetensors file"),
        (lambda model: (model / "model.safetensors").write_bytes(b"\x02\0"), "cannot be read"),
        (lambda model: (model / "config.json").write_text("[" * 100_000), "cannot be read"),
        (lambda model: (model / "config.json").write_text(" " * (2**20 + 1)), "config.json has more than 1048576 bytes"),
        (lambda model: _replace(model / "config.json", os.mkfifo), "config.json is no regular file"),
        (lambda model: _replace(model / "model.safetensors", os.mkfifo), "model.safetensors is no regular file"),
        (lambda model: _sparse(model / "model.safetensors", 2**33), "or is not a safetensors file"),
    ],
    ids=[
        "broken config",
        "no config",
        "unknown architecture",
        "a list",
        "broken weights",
        "cut weights",
        "deep",
        "endless",
        "a pipe",
        "weights that are a pipe",
        "endless header",
    ],
)
def test_a_base_model_that_cannot_be_counted_is_left_to_check(call, manifest, tmp_path: Path, spoil, how: str):
    model = tmp_path / "base-model" / "model"
    model.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (model / name).write_bytes((QUICKSTART.parent / "base-model" / "model" / name).read_bytes())
    spoil(model)
    ended = call("plan", str(manifest(QUICKSTART.read_text())), "-o", "explain")
    assert (ended.exit_code, how in ended.stdout) == (0, True), ended.output
    assert "Train        Job support-bot-train-0" in ended.stdout


def test_a_job_that_does_not_fit_is_refused_with_the_arithmetic(call, manifest, tmp_path: Path):
    (tmp_path / "base-model").symlink_to(QUICKSTART.parent / "base-model")
    ended = call("plan", str(manifest(change("memory: 4Gi", "memory: 64Mi").replace("{stage: 2}", "{stage: Auto}"))))
    assert ended.exit_code == 64
    assert "MiB" in ended.stderr
    assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("maxSteps: 120", "maxStep: 120", "5: spec.training.maxStep", ["unknown field", "maxSteps"]),
        ("maxSteps: 120", "maxSteps: many", "5: spec.training.maxSteps", ["'many'"]),
        ("learningRate: 2e-3", "learningRate: -1", "5: spec.training.learningRate", ["-1"]),
        ("type: sft", "type: dpo", "5: spec.method.type", ["not supported yet", "sft"]),
        ("deepspeed: {stage: 2}", "deepspeed: {stage: 7}", "15: spec.deepspeed.stage", ["7"]),
        ("r: 16,", "r: 16, r: 8,", "19: spec.method.lora.r", ["given twice"]),
        ("    maxSteps: 120", "\tmaxSteps: 120", "1:", ["Indent with spaces"]),
        ("gradientCheckpointing: false", "gradientCheckpointing: no", "28: spec.training.gradientCheckpointing", ["ambiguous"]),
    ],
    ids=["unknown field", "wrong type", "out of range", "not supported yet", "no such stage", "twice", "tab", "yaml 1.1"],
)
def test_a_problem_is_shown_with_line_column_field_and_way_out(call, manifest, *, old: str, new: str, place: str, words: list[str]):
    path, before = manifest(change(old, new)), QUICKSTART.read_text().split(old, maxsplit=1)[0]
    ended = call("validate", str(path))
    assert (ended.exit_code, ended.stdout) == (64, "")
    assert f"{path}:{1 + before.count(chr(10))}:{place}" in ended.stderr
    assert [word for word in words if word not in ended.stderr] == [], ended.stderr
    assert "    → " in ended.stderr


def test_all_problems_are_named_at_once_in_their_order(call, manifest):
    path = manifest(change("maxSteps: 120", "maxStep: 120").replace("replicas: 2", "replicas: none"))
    lines = [line for line in call("validate", str(path)).stderr.splitlines() if line.startswith(str(path))]
    assert [line.split(": ")[1] for line in lines] == ["spec.training.maxStep", "spec.workers.replicas"]


def test_every_file_is_checked_also_after_a_wrong_one(call, manifest):
    wrong = manifest("a: 1", "wrong.yaml")
    ended = call("validate", str(wrong), str(wrong.parent / "missing.yaml"), str(QUICKSTART))
    assert ended.exit_code == 64
    assert f"{QUICKSTART}: FineTuneJob default/support-bot is valid" in ended.stdout
    assert "missing.yaml: No such file" in ended.stderr


def test_a_number_in_scientific_notation_is_a_number(call, manifest):
    assert call("validate", str(manifest(change("learningRate: 2e-3", "learningRate: 2e-4")))).exit_code == 0
