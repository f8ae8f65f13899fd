"""A model that finds answers, from its configuration to an exported graph: checked, trained with ZeRO and LoRA, exported, scored."""

import dataclasses
import json
import os
from pathlib import Path

import onnxruntime
import pytest
from gang import WarmGang, Workspace, deepspeed, job
from questions import read_rows, save_reader
from tokenizers import Tokenizer

from tunewright_contract import environment
from tunewright_contract.folders import ModelManifest
from tunewright_contract.questions import find_answers, windows_of
from tunewright_server.engine.encoder import Encoder
from tunewright_server.engine.row_queue import TokenRow
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.recipes.check import run as check
from tunewright_trainer.recipes.export import run as export

LENGTH, STRIDE = 32, 8


def reading(**changes: object) -> dict:
    config = job(
        task="QuestionAnswering",
        model={"fromScratch": True, "dtype": "float32"},
        method={"tuner": "full", "lora": None},
        data={
            "train": [{"path": "corpus/train.jsonl"}],
            "validation": [{"path": "corpus/validation.jsonl"}],
            "maxLength": LENGTH,
            "docStride": STRIDE,
        },
        training={"max_steps": 100, "per_device_train_batch_size": 16, "learning_rate": 3e-3, "save_steps": 100},
        export={"precision": "int8", "parity": {"minTop1Agreement": 0.9}},
    )
    return {**config, **changes}


@pytest.fixture
def reader(tmp_path: Path, space: Workspace) -> Workspace:
    """A configuration and a tokenizer, and rows of SQuAD of which half need several windows."""
    space.model = save_reader(tmp_path / "reader")
    for name, count, seed in (("train", 300, 1), ("validation", 30, 2)):
        (space.data / "corpus" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in read_rows(count, seed=seed)))
    return space


def settings_of(reader: Workspace, config: dict, folder: Path) -> Settings:
    return Settings.from_environment({**os.environ, **reader.environment(config), environment.PUBLISH_DIR: str(folder)})


@pytest.mark.slow
def test_a_reader_is_checked_trained_and_exported(gang: WarmGang, reader: Workspace, tmp_path: Path) -> None:
    """Two ranks evaluate windows that are grouped by length in training, and F1 over their questions chooses the checkpoint."""
    best = {"eval_strategy": "steps", "eval_steps": 50, "save_strategy": "steps", "save_steps": 50, "load_best_model_at_end": True}
    config = reading(deepspeed=deepspeed(2), worldSize=2)
    config["training"] |= {**best, "metric_for_best_model": "f1", "greater_is_better": True, "train_sampling_strategy": "group_by_length"}
    folder = tmp_path / "models" / "reader" / "r1"
    settings = settings_of(reader, config, folder)

    facts = check(settings)
    assert (facts.data.format, facts.data.train.samples, facts.exporter) == ("squad", 300, "dynamo")
    assert facts.data.train.supervised_tokens > 300  # windows
    assert any("are read in windows that overlap by 8 tokens" in warning for warning in facts.warnings)

    assert gang.run(reader, config) == [0, 0], (reader.root / "pod" / "log").read_text()[-4000:]
    export(settings)

    manifest = ModelManifest.model_validate_json((folder / "tunewright.json").read_bytes())
    assert (manifest.graph.head.kind, manifest.graph.head.doc_stride, manifest.graph.head.no_answer) == ("question_answering", STRIDE, True)
    assert manifest.evaluation.tuned.f1 > 0.6 > manifest.evaluation.base.f1
    assert manifest.evaluation.tuned.loss < manifest.evaluation.base.loss
    answers = json.loads((folder / "evaluation.json").read_text())["answers"]
    rows = read_rows(30, seed=2)
    assert [answer["question"] for answer in answers] == [f"{row['question']}\n{row['context']}" for row in rows]
    served = [served_answer(folder, manifest, row) for row in rows]
    assert sum(one == answer["tuned"] for one, answer in zip(served, answers, strict=True)) >= 27  # int8 against torch in fp32


@pytest.mark.slow
def test_an_adapter_of_a_reader_is_trained_and_exported(gang: WarmGang, reader: Workspace, tmp_path: Path) -> None:
    """The export matches the trained model only if token types reached the base beside the adapter, and the head was saved."""
    lora = {"tuner": "lora", "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "QUESTION_ANS"}}
    exact = {"precision": "fp32", "parity": {"minTop1Agreement": 0.95, "maxLogitDifference": 0.001}}
    config = reading(method=lora, deepspeed=deepspeed(3), worldSize=2, export=exact)
    config["training"] |= {"max_steps": 4}
    assert gang.run(reader, config) == [0, 0], (reader.root / "pod" / "log").read_text()[-4000:]
    export(settings_of(reader, config, tmp_path / "models" / "reader" / "r1"))


def served_answer(folder: Path, manifest: ModelManifest, row: dict) -> str:
    """Answer as the model server does."""
    sizes = {"max_length": manifest.context_length, "vocab_size": manifest.vocab_size, "pad_token_id": manifest.pad_token_id}
    encoder = Encoder(onnxruntime.InferenceSession(folder / "model.onnx"), manifest.graph, **sizes)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    head = manifest.graph.head
    windows = windows_of(tokenizer, row["question"], row["context"], length=manifest.context_length, stride=head.doc_stride)
    found = [encoder.run([TokenRow(window.tokens, window.types)], len(window.tokens))[0] for window in windows]
    sides = [(each[:, 0].tolist(), each[:, 1].tolist()) for each in found]
    return find_answers(row["context"], windows, sides, no_answer=head.no_answer)[0].text


def test_a_question_that_leaves_no_room_is_named_with_file_and_line(reader: Workspace) -> None:
    long = {
        **read_rows(1, seed=3, filler=4)[0],
        "question": "Who keeps the goods ? " * 5,
        "context": "the shop opens . " * 20,
        "answers": {"text": ["shop"], "answer_start": [4]},
    }
    (reader.data / "corpus" / "validation.jsonl").write_text(json.dumps(long) + "\n")
    settings = Settings.from_environment({**os.environ, **reader.environment(reading())})
    with pytest.raises(
        StageError, match=r"validation.jsonl:1: the question has 25 tokens and the context 80; .* a question of 20"
    ) as refused:
        check(dataclasses.replace(settings))
    assert (
        refused.value.suggestion == "Shorten the question or the context, raise data.maxLength above 32, or lower data.docStride below 8."
    )
