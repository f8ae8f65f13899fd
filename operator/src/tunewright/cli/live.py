"""Live progress of a job, from its status alone: one updated line on a terminal, otherwise one line per change."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import plotext
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tunewright.api.v1alpha1.status import ConditionType
from tunewright_contract.stages import STAGES as STAGE_TABLE
from tunewright_contract.stages import TRAIN
from tunewright_contract.text import plain

STAGES = {  # phase -> text on the terminal
    "Pending": "pending",
    "Waiting": "waiting",
    "Queued": "queued",
    **{stage.phase: stage.name for stage in STAGE_TABLE},
    "Serving": "serving",
    "Complete": "complete",
    "Suspended": "suspended",
    "Failed": "failed",
}


def headline(status: Mapping[str, Any]) -> str:
    """Return a job's progress in one line: stage, percent, loss, tokens/s, ETA."""
    phase = str(status.get("phase") or "Pending")
    parts = [STAGES.get(phase, phase.lower())]
    if phase == TRAIN.phase:
        parts += _training(status.get("progress") or {})
        parts += [said["message"] for said in status.get("conditions", ()) if said["type"] == ConditionType.CHANGE_REFUSED]
    elif status.get("message"):
        parts.append(str(status["message"]))
    return " · ".join(parts)


def _training(progress: Mapping[str, Any]) -> list[str]:
    parts = []
    if progress.get("maxSteps"):
        parts.append(f"{progress.get('progressPercentage', 0)} %")
        parts.append(f"step {progress.get('step', 0)}/{progress['maxSteps']}")
    if progress.get("loss") is not None:
        parts.append(f"loss {float(progress['loss']):.3f}")
    if progress.get("evalLoss") is not None:
        parts.append(f"validation {float(progress['evalLoss']):.3f}")
    if progress.get("tokensPerSecond") is not None:
        parts.append(f"{float(progress['tokensPerSecond']):,.0f} tokens/s")
    if progress.get("estimatedRemainingSeconds") is not None:
        parts.append(f"ETA {duration(int(progress['estimatedRemainingSeconds']))}")
    return parts or ["starting"]


def _landmark(status: Mapping[str, Any]) -> tuple[object, ...]:
    """What must change before a new line is printed. A new ETA alone is not enough, and of 10,000 steps each hundredth is printed."""
    progress = status.get("progress") or {}
    return (status.get("phase"), progress.get("progressPercentage"), progress.get("evalLoss"), status.get("reason"))


def duration(seconds: int) -> str:
    """Write seconds as 42 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class LiveView:
    """Shows each status. A terminal shows one updated line, and keeps the last line of each stage; elsewhere each change is a new line."""

    def __init__(self, console: Console, *, name: str) -> None:
        self._console = console
        self._name = name
        self._open = False
        self._phase = ""
        self._line = ""
        self._landmark: tuple[object, ...] = ()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._open = True
        if self._console.is_terminal:
            columns = (
                TextColumn("[bold]{task.fields[job]}[/bold]"),
                BarColumn(bar_width=24),
                TextColumn("{task.description}", markup=False),
            )
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._task = self._progress.add_task("waiting", total=None, job=self._name)
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open = False
        if self._progress is not None:
            self._progress.stop()
            self._stay(self._line)

    def show(self, status: Mapping[str, Any]) -> None:
        """Draw one status. Outside the block, draw nothing."""
        if not self._open:
            return
        phase, line, landmark = str(status.get("phase") or "Pending"), plain(headline(status)), _landmark(status)
        if self._progress is None:
            if landmark != self._landmark and line != self._line:
                self._stay(line)
                self._line = line
            self._landmark = landmark
            return
        if self._line and phase != self._phase:
            self._stay(self._line)
        self._phase, self._line = phase, line
        percent = (status.get("progress") or {}).get("progressPercentage") if phase == TRAIN.phase else None
        self._progress.update(self._task or TaskID(0), description=line, completed=percent or 0, total=None if percent is None else 100)

    def note(self, text: str) -> None:
        """Print a line that stays, above the updated one."""
        self._console.print(text, markup=False)

    def _stay(self, line: str) -> None:
        if line:
            self.note(f"{self._name}: {line}")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl. An incomplete last line (the trainer is writing it) is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def series(rows: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Return (steps, values) of one metric."""
    points = [(int(row["step"]), float(row[name])) for row in rows if name in row and row[name] is not None]
    return [step for step, _ in points], [value for _, value in points]


def draw_loss(rows: list[dict[str, Any]], *, width: int, height: int = 14) -> str:
    """Draw training and validation loss over optimiser steps; empty when nothing was logged yet."""
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(width, height)
    plotext.xlabel("step")
    drawn = False
    for name, label in (("loss", "training loss"), ("eval_loss", "validation loss")):
        steps, values = series(rows, name)
        if steps:
            drawn = True
            plotext.plot(steps, values, label=label, marker="braille" if name == "loss" else "hd")
    return "\n".join(line.rstrip() for line in str(plotext.uncolorize(plotext.build())).splitlines()) if drawn else ""
