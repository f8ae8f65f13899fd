"""A classifier from its configuration to a graph that gives labels: checked, trained with ZeRO and any tuner, exported, scored."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tiny
from gang import WarmGang, Workspace, deepspeed, job
from layouts import metrics_by_layout
from lazily import lazily
from tokenizers import Tokenizer

from tunewright_contract import environment
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.folders import ModelManifest
from tunewright_contract.trainer_config import TrainerConfig
from tunewright_server.engine.encoder import Encoder
from tunewright_server.engine.row_queue import TokenRow
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.formats import BadRow, normalise, recognise
from tunewright_trainer.evaluation.classification import macro_f1, score, training_metrics
from tunewright_trainer.recipes.check import run as check
from tunewright_trainer.recipes.export import run as export
from tunewright_trainer.tuning.master_weights import needs_fp32_base

transformers = lazily("transformers")

TASK = "SingleLabelClassification"
TOPICS = {"nails": "The box holds nails and screws", "paint": "A bucket of red paint", "timber": "Planks of oak and pine"}


def bert() -> "transformers.PreTrainedModel":
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": tiny.VOCAB_SIZE}
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(**shape, max_position_embeddings=128, pad_token_id=tiny.PAD_ID)
    )


def classification(**changes: object) -> dict:
    config = job(
        task=TASK,
        data={"train": [{"path": "corpus/labeled.jsonl"}], "test": [{"path": "corpus/labeled-test.jsonl"}], "maxLength": 64},
        training={"max_steps": 30, "per_device_train_batch_size": 4, "learning_rate": 3e-3, "save_steps": 10},
        export={"precision": "fp32", "parity": {"minTop1Agreement": 0.9}},
    )
    return {**config, **changes}


def write_labeled(space: Workspace) -> None:
    for name, start, count in (("labeled", 0, 24), ("labeled-test", 50, 4)):
        rows = [{"text": f"{text}, lot {n}", "label": label} for n in range(start, start + count) for label, text in TOPICS.items()]
        (space.data / "corpus" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def of_family(family: str, space: Workspace, folder: Path) -> Workspace:
    """A decoder or an encoder, of which there is a configuration and a tokenizer only."""
    space.model = Path(shutil.copytree(space.model, folder))
    (space.model / "model.safetensors").unlink()
    if family == "bert":
        bert().config.save_pretrained(space.model)
    write_labeled(space)
    return space


SCRATCH = {"fromScratch": True, "dtype": "float32"}


def without_dropout(folder: Path) -> None:
    """Let nothing in a model's training be drawn but its weights."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({name: 0.0 if "dropout" in name else value for name, value in config.items()}))


RATES = {"ia3": 3e-2}  # it has few parameters, and learns slowly at the rate of the others
METHODS = {
    "full": {"tuner": "full"},
    "ia3": {"tuner": "ia3", "ia3": {"target_modules": "all-linear", "feedforward_modules": []}},
    "lora": {"tuner": "lora", "lora": {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}},
}


TRAININGS = (("full", 2, "fp32"), ("lora", 3, "int8"), ("ia3", 2, "fp32"))
ALWAYS = {("phi3", "lora"), ("bert", "full")}
WAYS = [
    pytest.param((family, *training), marks=[] if (family, training[0]) in ALWAYS else [pytest.mark.matrix])
    for family in ("phi3", "bert")
    for training in TRAININGS
]


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS, ids=lambda how: "-".join(map(str, how)))
def test_a_classifier_is_checked_trained_and_exported(
    gang: WarmGang, space: Workspace, tmp_path: Path, how: tuple[str, str, int, str]
) -> None:
    family, tuner, stage, precision = how
    of_family(family, space, tmp_path / "model")
    config = classification(
        model={"fromScratch": True, "dtype": "float32"},
        method=METHODS[tuner],
        deepspeed=deepspeed(stage),
        worldSize=2,
        export={"precision": precision, "parity": {"minTop1Agreement": 0.8}},
    )
    config["training"]["learning_rate"] = RATES.get(tuner, config["training"]["learning_rate"])
    folder = tmp_path / "models" / "topics" / "r1"
    settings = Settings.from_environment({**os.environ, **space.environment(config), environment.PUBLISH_DIR: str(folder)})

    facts = check(settings)
    assert (facts.data.format, facts.data.train.samples, facts.exporter) == ("labeledText", 72, "dynamo")
    assert (facts.data.label_count, facts.data.labels) == (3, {"nails": 24, "paint": 24, "timber": 24})

    assert gang.run(space, config) == [0, 0], (space.root / "pod" / "log").read_text()[-4000:]
    export(settings)

    manifest = ModelManifest.model_validate_json((folder / "tunewright.json").read_bytes())
    assert (manifest.graph.kind, manifest.graph.head.labels) == ("encoder", ["nails", "paint", "timber"])
    assert manifest.evaluation.tuned.f1_macro > 0.9 > manifest.evaluation.base.f1_macro
    assert manifest.evaluation.tuned.token_accuracy > 0.9
    answers = json.loads((folder / "evaluation.json").read_text())["answers"]
    assert {"question": "The box holds nails and screws, lot 50", "reference": "nails", "tuned": "nails"}.items() <= answers[0].items()
    assert served_label(folder, manifest, "A bucket of red paint, lot 7") == "paint"


@pytest.mark.slow
def test_the_loss_does_not_depend_on_how_a_step_is_divided(gang: WarmGang, space: Workspace, tmp_path: Path) -> None:
    of_family("bert", space, tmp_path / "model")
    without_dropout(space.model)
    held_out = {"train": [{"path": "corpus/labeled.jsonl"}], "validation": [{"path": "corpus/labeled-test.jsonl"}], "maxLength": 64}
    found = metrics_by_layout(gang, space, classification(model=SCRATCH, method=METHODS["full"], data=held_out))
    assert len(found["one batch"]) == 5
    assert found["two batches"] == pytest.approx(found["one batch"], rel=1e-4)
    assert found["two ranks"] == pytest.approx(found["one batch"], rel=1e-4)


def served_label(folder: Path, manifest: ModelManifest, text: str) -> str:
    """Label a text as the model server does."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    sizes = {"max_length": manifest.context_length, "vocab_size": manifest.vocab_size}
    encoder = Encoder(session, manifest.graph, pad_token_id=manifest.pad_token_id, **sizes)
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    return manifest.graph.head.labels[int(encoder.run([TokenRow(tuple(ids))], len(ids))[0].argmax())]


@pytest.mark.parametrize(
    ("row", "result"),
    [
        ({"text": "oak", "label": "timber"}, {"text": "oak", "label": "timber"}),
        ({"text": "oak", "label": 3}, {"text": "oak", "label": "3"}),
    ],
)
def test_a_labeled_text_is_accepted(row: dict, result: dict) -> None:
    format_ = recognise(row, {}, TASK)
    assert (format_, normalise(row, format_=format_, columns={}, task=TASK)) == ("labeledText", result)


@pytest.mark.parametrize(
    ("label", "words"), [(None, "not nothing"), (True, "not bool"), (1.5, "not float"), ("  ", "has 0 characters"), ("x" * 200, "has 200")]
)
def test_an_invalid_label_is_refused(label: object, words: str) -> None:
    with pytest.raises(BadRow, match=words):
        normalise({"text": "oak", "label": label}, format_="labeledText", columns={}, task=TASK)


def test_for_text_generation_a_labeled_text_is_plain_text() -> None:
    assert recognise({"text": "oak", "label": "timber"}, {}, "TextGeneration") == "text"


def test_a_held_out_label_missing_in_train_is_named_with_its_line(space: Workspace, tmp_path: Path) -> None:
    write_labeled(space)
    (space.data / "corpus" / "labeled-test.jsonl").write_text(json.dumps({"text": "cement", "label": "mortar"}) + "\n")
    settings = Settings.from_environment({**os.environ, **space.environment(classification())})
    with pytest.raises(StageError, match=r"labeled-test.jsonl:1: no training example has the label 'mortar'"):
        check(dataclasses.replace(settings))


def test_scores_are_those_of_scikit_learn() -> None:
    """`f1_score([0, 0, 1, 1, 2], [0, 1, 1, 1, 0], average="macro")` is 0.4333…: (0.5 + 0.8 + 0) / 3."""
    chosen = np.array([0, 1, 1, 1, 0])
    assert macro_f1(chosen, np.array([0, 0, 1, 1, 2])) == pytest.approx((0.5 + 0.8 + 0.0) / 3)
    found = score(np.eye(3, dtype=np.float32)[chosen] * 100, [0, 0, 1, 1, 2])
    assert (found.token_accuracy, found.samples) == (0.6, 5)


def test_each_metric_of_the_task_can_choose_the_best_checkpoint() -> None:
    """scikit-learn gives the same: precision (1/2 + 2/3 + 0) / 3, recall (1/2 + 1 + 0) / 3, MCC (3 * 5 - 10) / sqrt((25 - 13) (25 - 9))."""
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 1, 0]]
    found = training_metrics((logits, np.array([0, 0, 1, 1, 2])))
    assert tuple(sorted(found)) == tuple(sorted(TASKS[TASK].metrics))
    assert found == pytest.approx(
        {"accuracy": 0.6, "f1_macro": 1.3 / 3, "mcc": 5 / 192**0.5, "precision_macro": 3.5 / 9, "recall_macro": 0.5}
    )
    one = np.zeros(4, dtype=np.int64)
    assert training_metrics((np.eye(3, dtype=np.float32)[one], one))["mcc"] == 0.0


def test_a_classifier_without_deepspeed_is_loaded_in_fp32() -> None:
    """In fp32 training nothing fits 16-bit layers to the head, which PEFT trains whole."""
    lora = {"method": METHODS["lora"], "deepspeed": None}
    assert needs_fp32_base(TrainerConfig.model_validate(classification(**lora)))
    assert not needs_fp32_base(TrainerConfig.model_validate(job(**lora)))
