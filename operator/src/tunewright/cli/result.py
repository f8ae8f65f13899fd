"""What a finished job has to show: the loss curve, parity, base against tuned, a few answers, and where everything lies."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tunewright.cli.ask import answer
from tunewright.cli.curve import draw_loss, read_metrics
from tunewright.cli.places import model_folder, output_folder
from tunewright.local.app import Home
from tunewright_contract.model_manifest import EVALUATION_NAME

CURVE_WIDTH = 100  # columns; wide enough for a curve, narrow enough for half a screen
SHOWN_QUESTIONS = 3


def show_training(console: Console, home: Home, job: Mapping[str, Any]) -> None:
    """Draw the loss curve."""
    folder = output_folder(home, job)
    metrics = folder / "metrics.jsonl" if folder else None
    if metrics is not None and metrics.exists():
        curve = draw_loss(read_metrics(metrics), width=min(CURVE_WIDTH, console.width))
        console.print(f"\nLoss\n{curve}", markup=False)


def show_parity(console: Console, job: Mapping[str, Any]) -> None:
    """Print how close each exported model is to the trained one."""
    table = Table("export", "size", "positions", "same top token", "mean KL", "largest logit difference", title="ONNX against torch")
    for artifact in job["status"].get("artifacts", ()):
        parity = artifact["parity"]
        size = f"{artifact['bytes'] / 2**20:.1f} MiB"
        table.add_row(
            artifact["precision"],
            size,
            str(parity["positions"]),
            f"{float(parity['top1Agreement']):.2%}",
            f"{float(parity['meanKl']):.1e}",
            f"{float(parity['maxLogitDifference']):.1e}",
        )
    console.print(table)


def show_evaluation(console: Console, job: Mapping[str, Any]) -> None:
    """Print the score of the base model and of the tuned one on the same held-out examples."""
    evaluation = job["status"].get("evaluation")
    if not evaluation:
        return
    table = Table("model", "loss", "token accuracy", "exact match", "examples", title="On held-out examples")
    for which in ("base", "tuned"):
        score = evaluation[which]
        exact = f"{float(score['exactMatch']):.1%}" if "exactMatch" in score else "not asked"
        table.add_row(which, f"{float(score['loss']):.3f}", f"{float(score['tokenAccuracy']):.1%}", exact, str(score["samples"]))
    console.print(table)


def questions(home: Home, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the held-out questions with the base model's answers, as Export wrote them down."""
    folder = model_folder(home, job)
    if folder is None or not (folder / EVALUATION_NAME).exists():
        return []
    return list(json.loads((folder / EVALUATION_NAME).read_text(encoding="utf-8"))["answers"])


async def show_answers(console: Console, home: Home, job: Mapping[str, Any], own: Sequence[str]) -> None:
    """Ask the served model, through the OpenAI API, a few held-out questions, or the person's own, and print what it says."""
    url, model = job["status"]["serving"]["url"], served_name(job)
    spread = questions(home, job)
    step = max(1, len(spread) // SHOWN_QUESTIONS)  # neighbours in a file are often alike
    asked = [{"question": text} for text in own] or spread[::step][:SHOWN_QUESTIONS]
    for item in asked:
        messages = item.get("messages") or [{"role": "user", "content": item["question"]}]
        said = await answer(url, model=model, messages=messages)
        console.print(f"\nuser:   {item['question']}", style="bold", markup=False)
        if "base" in item:
            console.print(f"base:   {_indent(item['base'])}", style="dim", markup=False)
        console.print(f"served: {_indent(said)}", style="green", markup=False)


def show_places(console: Console, home: Home, job: Mapping[str, Any]) -> None:
    """Print where everything was written."""
    meta, status = job["metadata"], job["status"]
    key = (meta["namespace"], meta["name"])
    table = Table.grid(padding=(0, 2))
    output, model = output_folder(home, job), model_folder(home, job)
    rows: list[tuple[str, Path | str | None]] = [
        ("checkpoints, adapter, metrics.jsonl", output),
        ("model folder (ONNX, lineage)", model),
        ("answers of both models", model / EVALUATION_NAME if model and (model / EVALUATION_NAME).exists() else None),
        ("logs", home.log_folder(key)),
        ("server", (status.get("serving") or {}).get("url")),
    ]
    for label, place in rows:
        if place is not None:
            table.add_row(label, str(place))
    console.print("\nWhere everything is")
    console.print(table)


def served_name(job: Mapping[str, Any]) -> str:
    """Return what clients put into `model`."""
    return str((job["spec"].get("serving") or {}).get("servedModelName") or job["metadata"]["name"])


def _indent(text: str) -> str:
    return text.strip().replace("\n", "\n        ")
