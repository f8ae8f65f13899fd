"""Inputs of the export stage: a base on disk, data beside it, and a result of training in `final/`."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from lazily import lazily

from tunewright_contract.reports import TrainReport
from tunewright_contract.trainer_config import (
    DataConfig,
    DataFile,
    EvaluationConfig,
    ExportConfig,
    JobIdentity,
    MethodConfig,
    ModelConfig,
    ParityConfig,
    Precision,
    TrainerConfig,
)
from tunewright_trainer.common import verified_folder
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.distributed.final import REPORT_NAME
from tunewright_trainer.tuning import inputs

transformers = lazily("transformers")

TRAINED = TrainReport(step=12, max_steps=12, train_loss=1.25, eval_loss=1.5, tokens=3456)
# Random weights make flat distributions, in which 8 bits move many a near tie: these jobs ask for less than a real one would.
LENIENT = ParityConfig(min_top1_agreement=0.5, prompts=6)
STRICT = ParityConfig(max_logit_difference=1e-3, min_top1_agreement=0.999, prompts=6)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder per architecture."""
    root = tmp_path_factory.mktemp("bases")
    made: dict[str, transformers.PreTrainedModel] = {"phi3": tiny.phi3(), "llama": tiny.llama(), "gpt2": tiny.gpt2()}
    return {name: tiny.save_base(model, root / name) for name, model in made.items()}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations with two or four turns; the test set is not part of the training set."""
    folder = tmp_path_factory.mktemp("data")
    for name, start, count in (("train", 0, 8), ("test", 100, 10)):
        rows = [_conversation(number) for number in range(start, start + count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows), encoding="utf-8")
    return folder


def _conversation(number: int) -> list[dict[str, str]]:
    first = [{"role": "user", "content": f"What is item {number}?"}, {"role": "assistant", "content": f"It is a box of {number} nails."}]
    more = [{"role": "user", "content": "And its price?"}, {"role": "assistant", "content": f"{number % 7} euros."}]
    return first + more if number % 2 else first


@pytest.fixture(scope="session")
def job(bases: dict[str, Path], data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Build a job whose training is over: `job(base="phi3", precision="fp32", lora={"use_dora": True})`."""

    def build(
        *,
        base: str = "phi3",
        precision: Precision = "fp32",
        parity: ParityConfig | None = None,
        lora: dict[str, Any] | None = None,
        quantization: dict[str, Any] | None = None,
        full: bool = False,
        evaluation: EvaluationConfig | None = None,
        model: dict[str, Any] | None = None,
    ) -> Settings:
        root = tmp_path_factory.mktemp("job")
        final, staged = root / "output" / "final", root / "staged"
        staged.mkdir()
        final.parent.mkdir()
        if full:
            tiny.tuned(bases[base]).save_pretrained(staged)
            method = MethodConfig(tuner="full")
        else:
            arguments = tiny.save_adapter(bases[base], staged, **(lora or {}))
            method = MethodConfig(tuner="lora", lora=arguments, quantization=quantization)
        (staged / REPORT_NAME).write_text(TRAINED.model_dump_json(), encoding="utf-8")
        config = TrainerConfig(
            job=JobIdentity(namespace="team-a", name="nails", uid="0f0f", revision="r1"),
            task="ChatCompletion",
            model=ModelConfig(**(model or {})),
            data=DataConfig(train=[DataFile(path="train.jsonl")], test=[DataFile(path="test.jsonl")], max_length=200),
            method=method,
            training={},
            export=ExportConfig(precision=precision, parity=parity or (STRICT if precision == "fp32" else LENIENT)),
            evaluation=evaluation or EvaluationConfig(max_samples=10, generate_samples=4, max_new_tokens=8),
        )
        settings = Settings(
            config=config,
            model_dir=bases[base],
            data_dir=data_dir,
            output_dir=root / "output",
            publish_dir=root / "models" / "nails" / "r1",
            termination_log=root / "termination",
        )
        listed = verified_folder.entries(staged, verified_folder.files_in(staged))
        verified_folder.seal(staged, final, listed, step=TRAINED.step, inputs=inputs.describe(settings))
        return settings

    return build


@pytest.fixture(scope="session")
def published(job: Callable[..., Settings]) -> Settings:
    """A LoRA job of the usual kind, exported in fp32: read it, do not change it."""
    from tunewright_trainer.recipes.export import run

    settings = job()
    run(settings)
    return settings


@pytest.fixture(scope="session")
def with_precision() -> Callable[[Settings, Precision], Settings]:
    """The same job, exported otherwise."""

    def change(settings: Settings, precision: Precision) -> Settings:
        export = ExportConfig(precision=precision, parity=LENIENT)
        return dataclasses.replace(settings, config=settings.config.model_copy(update={"export": export}))

    return change
