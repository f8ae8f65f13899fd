"""The loss curve, drawn in the terminal from the trainer's `metrics.jsonl`."""

import json
from pathlib import Path
from typing import Any

import plotext


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl. A torn last line (the trainer is writing at this moment) is left out."""
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
