"""Tokens per second of our recipe against the bare TRL `SFTTrainer` loop: same model, data, batches and LoRA, one process, plain PyTorch.

What ours adds (agreeing on stops, metrics, verified checkpoints) must cost next to nothing. Run: `python benchmarks/trainer_overhead.py`.
Each is measured over the same steps after the same warm-up, on one thread, and in turns; the clock is the processor time of the
process, which neighbours on the machine do not move. One line of JSON.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from tunewright_trainer.common.settings import Settings

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "base-model" / "model"
DATA = ROOT / "examples" / "data"
WARM_UP = 3  # steps left out of the time


def main() -> None:
    """Measure both, alternating, and print the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import torch

    from tunewright_trainer.distributed import process_group

    torch.set_num_threads(1)
    speeds: dict[str, list[float]] = {"ours": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(Path(folder), options.steps)
        process_group.join(settings)
        for _ in range(options.rounds):
            speeds["bare"].append(_run(settings, ours=False))
            speeds["ours"].append(_run(settings, ours=True))
        process_group.leave()
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(
        json.dumps(
            {
                **{f"{name}_tokens_per_cpu_second": round(value, 1) for name, value in medians.items()},
                "ratio": round(medians["ours"] / medians["bare"], 3),
            }
        )
    )


def _settings(folder: Path, steps: int) -> "Settings":
    config = {
        "job": {"namespace": "bench", "name": "overhead", "uid": "u", "revision": "r"},
        "task": "ChatCompletion",
        "model": {"dtype": "float32"},
        "data": {"train": [{"path": "support-train.jsonl"}], "maxLength": 128},
        "method": {"tuner": "lora", "lora": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}},
        "training": {
            "max_steps": steps,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-3,
            "logging_steps": 5,
            "save_strategy": "no",
            "bf16": False,
            "gradient_checkpointing": False,
        },
    }
    from tunewright_contract import environment
    from tunewright_trainer.common.settings import Settings

    (folder / "config.json").write_text(json.dumps(config))
    return Settings.from_environment(
        {
            environment.CONFIG: str(folder / "config.json"),
            environment.MODEL_DIR: str(MODEL),
            environment.DATA_DIR: str(DATA),
            environment.OUTPUT_DIR: str(folder / "out"),
            environment.TERMINATION_LOG: os.devnull,
        }
    )


def _run(settings: "Settings", *, ours: bool) -> float:
    """Tokens per second after the warm-up."""
    import trl

    from tunewright_trainer.common.signals import StopRequest
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.data.tokenization import encode
    from tunewright_trainer.distributed.resume import StartingPoint
    from tunewright_trainer.recipes.causal_lm import sft_config
    from tunewright_trainer.recipes.trainers import SFTTrainer
    from tunewright_trainer.tuning.adapters import adapter_config
    from tunewright_trainer.tuning.base_model import load_base
    from tunewright_trainer.tuning.inputs import describe
    from tunewright_trainer.tuning.progress import MetricsCallback
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    settings.output_dir.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(settings)
    watch = _stopwatch()
    added = [MetricsCallback(settings.metrics_file)] if ours else []
    kind = partial(SFTTrainer, start=StartingPoint(describe(settings)), request=StopRequest()) if ours else trl.SFTTrainer
    trainer = kind(
        model=load_base(settings),
        args=sft_config(settings, has_validation=False),
        train_dataset=encode(read_splits(settings).train, tokenizer, settings).dataset,
        processing_class=tokenizer,
        peft_config=adapter_config(settings),
        callbacks=[*added, watch],
    )
    trainer.train()
    return watch.tokens_per_second(trainer)


def _stopwatch() -> "TrainerCallback":
    import time

    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        """Times the steps after the warm-up, whole: from the end of one to the end of the last."""

        def on_step_end(self, args, state, control, **_):  # noqa: ARG002 - what transformers passes
            if state.global_step == WARM_UP:
                self.began = time.process_time()
            if state.global_step == state.max_steps:
                self.seconds = time.process_time() - self.began

        def tokens_per_second(self, trainer) -> float:
            tokens = next(entry["num_tokens"] for entry in reversed(trainer.state.log_history) if "num_tokens" in entry)
            share = (trainer.state.max_steps - WARM_UP) / trainer.state.max_steps
            return tokens * share / self.seconds

    return Stopwatch()


if __name__ == "__main__":
    sys.exit(main())
