"""A classifier of texts that have several labels, or none: its data, its scores, trained on two ranks, exported and read as the server does."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from gang import WarmGang, Workspace, deepspeed, job
from lazily import lazily

from tunewright_contract import environment
from tunewright_contract.capabilities.tasks import SEVERAL_LABELS, TASKS
from tunewright_contract.folders import ModelManifest
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.formats import normalise, recognise
from tunewright_trainer.data.values import BadRow
from tunewright_trainer.evaluation.label_scores import scoring_of
from tunewright_trainer.recipes.check import run as check
from tunewright_trainer.recipes.export import run as export

transformers = lazily("transformers")

TASK = "MultiLabelClassification"
SCORING = scoring_of(SEVERAL_LABELS)
GOODS = {"nails": "steel nails", "paint": "red paint", "timber": "oak boards"}


def requests(start: int, count: int) -> list[dict]:
    """Each combination of goods, also none."""
    chosen = ([name for bit, name in enumerate(GOODS) if number >> bit & 1] for number in range(start, start + count))
    return [
        {"text": f"{', '.join(GOODS[name] for name in names) or 'nothing'} in lot {start + at}", "labels": names}
        for at, names in enumerate(chosen)
    ]


def tagging(**changes: object) -> dict:
    files = {"train": "goods", "validation": "goods-test", "test": "goods-test"}
    config = job(
        task=TASK,
        data={**{name: [{"path": f"corpus/{file}.jsonl"}] for name, file in files.items()}, "maxLength": 64},
        model={"fromScratch": True, "dtype": "float32"},
        method={"tuner": "full", "lora": None},
        training={"max_steps": 80, "per_device_train_batch_size": 8, "learning_rate": 6e-3, "save_steps": 40},
        export={"precision": "fp32", "parity": {"minTop1Agreement": 0.95}},
    )
    return {**config, **changes}


@pytest.fixture
def store(space: Workspace, tmp_path: Path) -> Workspace:
    """A BERT of which there is a configuration and a tokenizer only, and texts."""
    space.model = Path(shutil.copytree(space.model, tmp_path / "model"))
    (space.model / "model.safetensors").unlink()
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": tiny.VOCAB_SIZE}
    transformers.BertConfig(**shape, max_position_embeddings=128, pad_token_id=tiny.PAD_ID).save_pretrained(space.model)
    for name, start, count in (("goods", 0, 96), ("goods-test", 96, 16)):
        (space.data / "corpus" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in requests(start, count)))
    return space


def settings_of(store: Workspace, config: dict, folder: Path) -> Settings:
    return Settings.from_environment({**os.environ, **store.environment(config), environment.PUBLISH_DIR: str(folder)})


@pytest.mark.slow
def test_a_classifier_with_several_labels_is_checked_trained_and_exported(gang: WarmGang, store: Workspace, tmp_path: Path) -> None:
    """The best checkpoint is chosen by micro F1, on two ranks."""
    config = tagging(deepspeed=deepspeed(2), worldSize=2)
    best = {"eval_strategy": "steps", "eval_steps": 40, "save_strategy": "steps", "load_best_model_at_end": True}
    config["training"] |= {**best, "metric_for_best_model": "f1_micro", "greater_is_better": True}
    folder = tmp_path / "models" / "goods" / "r1"
    settings = settings_of(store, config, folder)

    facts = check(settings).data
    assert (facts.format, facts.train.samples, facts.train.supervised_tokens) == ("multiLabelText", 96, 96)
    assert (facts.label_count, facts.labels) == (3, {"nails": 48, "paint": 48, "timber": 48})

    assert gang.run(store, config) == [0, 0], (store.root / "pod" / "log").read_text()[-4000:]
    assert set(TASKS[TASK].metrics) <= {key.removeprefix("eval_") for line in store.metrics for key in line}
    export(settings)

    manifest = ModelManifest.model_validate_json((folder / "tunewright.json").read_bytes())
    assert (manifest.graph.head.labels, manifest.graph.head.problem_type) == (list(GOODS), SEVERAL_LABELS)
    assert manifest.evaluation.tuned.f1_micro > 0.9 > manifest.evaluation.base.f1_micro
    answers = json.loads((folder / "evaluation.json").read_text())["answers"]
    assert answers[0] == answers[0] | {"question": "nothing in lot 96", "reference": "no label", "tuned": "no label"}
    assert answers[3] == answers[3] | {"reference": "nails, paint", "tuned": "nails, paint"}


@pytest.mark.parametrize(
    ("labels", "result"),
    [(["b", "a"], ["b", "a"]), ([], []), ([3, "x"], ["3", "x"]), ('["a", "b"]', ["a", "b"])],
    ids=["names", "none", "numbers", "JSON in a cell of a table"],
)
def test_a_text_with_labels_is_accepted(labels: object, result: list[str]) -> None:
    row = {"text": "oak", "labels": labels}
    format_ = recognise(row, {}, TASK)
    assert (format_, normalise(row, format_=format_, columns={}, task=TASK)) == ("multiLabelText", {"text": "oak", "labels": result})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "'labels' must be a list, not nothing"),
        (3, "'labels' must be a list, not int; one label for each text is task SingleLabelClassification"),
        ("a", "'labels' is not JSON"),
        ([None], r"'labels\[0\]' must be text or a whole number, not nothing"),
        (["a", " "], r"'labels\[1\]' has 0 characters"),
        (["a", 1.5], r"'labels\[1\]' must be text or a whole number, not float"),
        (["a", " a "], "'labels' has 'a' twice"),
    ],
)
def test_invalid_labels_are_refused(labels: object, words: str) -> None:
    with pytest.raises(BadRow, match=words):
        normalise({"text": "oak", "labels": labels}, format_="multiLabelText", columns={}, task=TASK)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"text": "oak", "labels": []}], "0 label.s.; 1 to 1000 are supported"),
        ([{"text": "oak", "label": "a"}], "a labeledText row is for task SingleLabelClassification"),
    ],
)
def test_training_examples_without_labels_are_refused(rows: list[dict], words: str, store: Workspace, tmp_path: Path) -> None:
    (store.data / "corpus" / "goods.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(StageError, match=words):
        check(settings_of(store, tagging(), tmp_path / "models"))


def test_a_held_out_label_that_train_lacks_is_named_with_its_line(store: Workspace, tmp_path: Path) -> None:
    (store.data / "corpus" / "goods-test.jsonl").write_text(json.dumps({"text": "cement", "labels": ["nails", "mortar"]}) + "\n")
    with pytest.raises(StageError, match=r"goods-test.jsonl:1: no training example has the label 'mortar'"):
        check(settings_of(store, tagging(), tmp_path / "models"))


LOGITS = np.array([[2.0, -1.0, -3.0, -1.0], [1.0, 1.0, -2.0, -1.0], [-1.0, -1.0, -1.0, -1.0], [0.5, -1.0, -1.0, -1.0]], dtype=np.float32)
HELD = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32)


def test_each_metric_of_the_task_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    given, held = LOGITS > 0, HELD > 0
    macro = {"average": "macro", "zero_division": 0}
    wanted = {
        "accuracy": metrics.accuracy_score(held, given),
        "f1_micro": metrics.f1_score(held, given, average="micro"),
        "f1_macro": metrics.f1_score(held, given, **macro),
        "precision_macro": metrics.precision_score(held, given, **macro),
        "recall_macro": metrics.recall_score(held, given, **macro),
    }
    assert SCORING.training_metrics((LOGITS, HELD)) == pytest.approx(wanted)
    assert tuple(sorted(wanted)) == tuple(sorted(TASKS[TASK].metrics))


def test_the_loss_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    wanted = torch.nn.BCEWithLogitsLoss()(torch.tensor(LOGITS), torch.tensor(HELD))
    found = SCORING.score(LOGITS, HELD.tolist())
    assert (found.loss, found.samples) == (pytest.approx(float(wanted), rel=1e-6), 4)


def test_texts_without_any_label_have_no_f1_instead_of_an_error() -> None:
    nothing = np.zeros((3, 2), dtype=np.float32)
    found = SCORING.training_metrics((nothing - 1, nothing))
    assert (found["accuracy"], found["f1_micro"], found["f1_macro"]) == (1.0, 0.0, 0.0)
