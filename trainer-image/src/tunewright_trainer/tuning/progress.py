# ruff: noqa: ARG002 - transformers defines the arguments of a callback
"""Reports progress during training: Kubeflow's progress protocol, and `metrics.jsonl`.

Promises that only a run at its last step reports 100 %, and that the file has each step once, even if it was repeated.
"""

import json
import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import KubeflowCallback

from tunewright_contract import environment, progress
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.tuning.posting import Poster

_WRITTEN = (
    *(progress.LOSS, progress.EVAL_LOSS, progress.LEARNING_RATE, progress.TOKENS_PER_SECOND),
    *("grad_norm", "mean_token_accuracy"),
    *dict.fromkeys(f"eval_{metric}" for task in TASKS.values() for metric in task.metrics),
)

_NOT_YET = 99  # per cent at most, until training has ended


class MetricsCallback(TrainerCallback):
    """Adds step and speed to the logged values, ends a run whose loss is not a number, and writes `metrics.jsonl`.

    Must stand before `ProgressCallback`: it changes the logs that `ProgressCallback` posts.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._training_seconds = 0.0
        self._step_began = 0.0
        self._counted = (0.0, 0.0)  # tokens and seconds at the last log

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.is_world_process_zero:
            _forget_after(self._file, state.global_step)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._step_began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._training_seconds += time.perf_counter() - self._step_began

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: object) -> None:
        loss = logs.get(progress.LOSS)
        if loss is not None:
            _require_number(float(loss), state.global_step)
            self._add_speed(logs)
        logs[progress.STEP] = state.global_step
        logs[progress.MAX_STEPS] = state.max_steps
        if state.is_world_process_zero and (loss is not None or progress.EVAL_LOSS in logs):
            self._append(state.global_step, logs)

    def _add_speed(self, logs: dict[str, Any]) -> None:
        """Tokens over the time spent in steps; evaluation and saving between them do not count."""
        tokens = float(logs.get("num_tokens", 0.0))
        before_tokens, before_seconds = self._counted
        if self._training_seconds > before_seconds and tokens > before_tokens:
            logs[progress.TOKENS_PER_SECOND] = round((tokens - before_tokens) / (self._training_seconds - before_seconds), 1)
        self._counted = (tokens, self._training_seconds)

    def _append(self, step: int, logs: dict[str, Any]) -> None:
        line = {"step": step, **{name: logs[name] for name in _WRITTEN if name in logs}, "time": round(time.time(), 3)}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


_SHORTEST_PAUSE, _LONGEST_PAUSE = 2.0, 10.0  # seconds


class ProgressCallback(KubeflowCallback):
    """Transformers' own reports, with the correct progress of an interrupted run, for which transformers reports 100 %.

    A `Poster` sends them, because with transformers training would wait for the answer.
    """

    _last_update_time: float  # set by KubeflowCallback; monotonic seconds

    def __init__(self, poster: Poster) -> None:
        super().__init__()
        self._poster = poster
        self._began = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self._began = time.monotonic()
        super().on_train_begin(args, state, control, **kwargs)
        self._metrics |= {progress.STEP: state.global_step, progress.MAX_STEPS: state.max_steps}
        if state.is_world_process_zero and state.global_step:  # resumed: transformers has just reported 0 %
            self._metrics |= {progress.RESUMED_FROM_STEP: state.global_step, progress.CHECKPOINT_STEP: state.global_step}
            self._post_now(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if state.is_world_process_zero:
            self._metrics |= {progress.STEP: state.global_step, progress.CHECKPOINT_STEP: state.global_step}
            self._post_now(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if state.global_step >= state.max_steps:
            super().on_train_end(args, state, control, **kwargs)
        elif state.is_world_process_zero:
            self._post_now(state)
        self._poster.close()

    def _post_now(self, state: TrainerState) -> None:
        percent = min(_NOT_YET, 100 * state.global_step // state.max_steps)
        self._update_status(progress_percent=percent, metrics=self._metrics, force=True)

    def _update_status(
        self,
        progress_percent: int | None = None,
        estimated_time_remaining: int | None = None,
        metrics: dict[str, Any] | None = None,
        force: bool = False,
    ) -> bool:
        now = time.monotonic()
        if not force and now - self._last_update_time < pause_after(now - self._began):
            return False
        self._last_update_time = now
        # Constructed without validation: the receiver refuses an invalid report, which must not end the training.
        status = progress.TrainerStatus.model_construct(
            last_updated_time=datetime.now(UTC),
            progress_percentage=progress_percent,
            estimated_remaining_seconds=estimated_time_remaining,
            metrics=[progress.Metric.model_construct(name=str(name), value=str(value)) for name, value in (metrics or {}).items()],
        )
        self._poster.post(progress.ProgressReport.model_construct(trainer_status=status).model_dump_json(by_alias=True).encode())
        return True


def pause_after(seconds: float) -> float:
    """Return the seconds between two reports after so many seconds of training. Users watch the beginning; status has one in 15 to 30 s."""
    return min(max(seconds / 10, _SHORTEST_PAUSE), _LONGEST_PAUSE)


def posters() -> list[TrainerCallback]:
    """Return `ProgressCallback` if an endpoint and a token are given, else no callback."""
    url, token, ca = (
        os.environ.get(name) for name in (environment.PROGRESS_URL, environment.PROGRESS_TOKEN_FILE, environment.PROGRESS_CA_FILE)
    )
    return [ProgressCallback(Poster(url, Path(token), Path(ca) if ca else None))] if url and token else []


def _require_number(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise StageError(
            ExitCode.CONFIGURATION,
            "NaNLoss",
            f"the loss is {loss} at step {step}",
            "Lower training.learningRate, add warmupSteps, or train in bf16 instead of fp16; the earlier checkpoints are intact.",
        )


def _forget_after(file: Path, step: int) -> None:
    """Remove lines of a lost attempt after the step from which the run resumes, and an incomplete last line."""
    if not file.exists():
        return
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue
    partial = file.with_suffix(".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(file)
