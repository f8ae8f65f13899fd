"""The summary of a finished job: loss curve, parity, base against tuned model, some answers, and the paths of all results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tunewright.cli.ask import ENCODER_TEXTS, Asked, answer
from tunewright.cli.console import columns
from tunewright.cli.live import draw_loss
from tunewright.local.app import Home
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.folders import EVALUATION_NAME
from tunewright_contract.quantities import people_bytes
from tunewright_runtime.objects import Key

CURVE_WIDTH = 100  # columns; wide enough for a curve, narrow enough for half a screen
SHOWN_QUESTIONS = 3
LONGEST_ANSWER = 64  # tokens; what evaluation.maxNewTokens is when a job does not say

# Shares in a score of status, with what a person reads above them.
_SHARES = {
    "tokenAccuracy": "token accuracy",
    "accuracy": "accuracy",
    "exactMatch": "exact match",
    "f1Macro": "macro F1",
    "f1Micro": "micro F1",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
}
_POINTS = {"bleu": "BLEU", "chrf": "chrF"}  # from 0 to 100, as sacreBLEU prints them
_CLAIM_SCHEME = "pvc://"


def show_training(console: Console, rows: list[dict[str, Any]]) -> None:
    """Draw the loss curve of rows as in metrics.jsonl."""
    if curve := draw_loss(rows, width=min(CURVE_WIDTH, console.width)):
        console.print(f"\nLoss\n{curve}", markup=False)


def show_parity(console: Console, job: Mapping[str, Any]) -> None:
    """Print how close each exported model is to the trained one."""
    rows = [
        (
            artifact["precision"],
            people_bytes(artifact["bytes"]) if artifact.get("bytes") else "-",
            str(parity["positions"]),
            f"{float(parity['top1Agreement']):.2%}",
            f"{float(parity['meanKl']):.1e}",
            f"{float(parity['maxLogitDifference']):.1e}",
        )
        for artifact in job["status"].get("artifacts", ())
        if (parity := artifact.get("parity"))
    ]
    if rows:
        head = ("export", "size", "positions", "same top token", "mean KL", "largest logit difference")
        console.print(f"\nONNX against torch\n{columns([head, *rows], indent='  ')}", markup=False)


def show_evaluation(console: Console, job: Mapping[str, Any]) -> None:
    """Print the scores of the base model and of the tuned one on the same held-out examples: those that one of the two has."""
    evaluation = job["status"].get("evaluation") or {}
    shares = {name: heading for name, heading in (_SHARES | _POINTS).items() if any(name in score for score in evaluation.values())}
    rows = [
        (
            which,
            f"{float(score['loss']):.3f}",
            *(_shown(name, score) for name in shares),
            str(score["samples"]),
        )
        for which, score in evaluation.items()
    ]
    if rows:
        head = ("model", "loss", *shares.values(), "examples")
        console.print(f"\nOn held-out examples\n{columns([head, *rows], indent='  ')}", markup=False)


def _shown(name: str, score: Mapping[str, str]) -> str:
    if name not in score:
        return "not asked"
    value = float(score[name])
    return f"{value:.1f}" if name in _POINTS else f"{value:.1%}"


def questions(home: Home, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the held-out questions with the base model's answers, as Export wrote them down."""
    folder = model_folder(home, job)
    if folder is None or not (folder / EVALUATION_NAME).exists():
        return []
    return list(json.loads((folder / EVALUATION_NAME).read_text(encoding="utf-8"))["answers"])


async def show_answers(console: Console, spread: Sequence[Mapping[str, Any]], job: Mapping[str, Any], own: Sequence[str]) -> None:
    """Send the served model a few of the held-out questions, or the user's own, through the OpenAI API, and print its answers."""
    url, model = job["status"]["serving"]["url"], served_name(job)
    step = max(1, len(spread) // SHOWN_QUESTIONS)  # consecutive examples of a file are often similar
    longest = (job["spec"].get("evaluation") or {}).get("maxNewTokens", LONGEST_ANSWER)
    if TASKS[job["spec"]["task"]].answers_sources:
        longest = None  # the server refuses more than the target's bound, which depends on the base
    for item in [{"question": text} for text in own] or spread[::step][:SHOWN_QUESTIONS]:
        said = await answer(url, model=model, asked=item.get("messages") or as_asked(job, item["question"]), max_tokens=longest)
        console.print(f"\nuser:      {_indent(item['question'])}", style="bold", markup=False)
        for label in ("reference", "base"):
            if label in item:
                console.print(f"{label + ':':<11}{_indent(item[label])}", style="dim", markup=False)
        console.print(f"served:    {_indent(said)}", style="green", markup=False)


def as_asked(job: Mapping[str, Any], text: str) -> Asked:
    """Return a user's text as the input of a job's model: a message of a chat, a prompt, a source, or a text to label."""
    task = TASKS[job["spec"]["task"]]
    if task.head is not None:
        return ENCODER_TEXTS[task.head](text)
    return [{"role": "user", "content": text}] if task.needs_chat_template else text


def show_places(console: Console, home: Home, job: Mapping[str, Any]) -> None:
    """Print where everything was written."""
    meta, status = job["metadata"], job["status"]
    output, model = output_folder(home, job), model_folder(home, job)
    answers = model / EVALUATION_NAME if model else None
    places: list[tuple[str, Path | str | None]] = [
        ("checkpoints, trained weights, metrics.jsonl", output),
        ("model folder (ONNX, tokenizer, lineage)", model),
        ("answers of both models", answers if answers and answers.exists() else None),
        ("logs", home.log_folder(Key(meta["namespace"], meta["name"]))),
        ("server", (status.get("serving") or {}).get("url")),
    ]
    rows = [(label, str(place)) for label, place in places if place is not None]
    console.print(f"\nWhere everything is\n{columns(rows, indent='  ')}", markup=False)


def served_name(job: Mapping[str, Any]) -> str:
    """Return what clients put into `model`."""
    return str((job["spec"].get("serving") or {}).get("servedModelName") or job["metadata"]["name"])


def _indent(text: str) -> str:
    return text.strip().replace("\n", "\n           ")


def model_folder(home: Home, job: Mapping[str, Any]) -> Path | None:
    """Return the folder of the newest exported model; None if nothing is exported yet."""
    artifacts = job.get("status", {}).get("artifacts") or []
    if not artifacts:
        return None
    claim, _, folder = str(artifacts[0]["uri"]).removeprefix(_CLAIM_SCHEME).partition("/")
    return home.layout.claim(str(job["metadata"]["namespace"]), claim) / folder


def output_folder(home: Home, job: Mapping[str, Any]) -> Path | None:
    """Return the folder of checkpoints, of the trained weights and of metrics.jsonl; None before training."""
    from tunewright.plan.names import names_of
    from tunewright.plan.storage import RUNS_FOLDER

    meta, status = job["metadata"], job.get("status", {})
    if "revision" not in status:
        return None
    storage = ((job["spec"].get("output") or {}).get("storage")) or {}
    claim = storage.get("claimName") or names_of(meta["name"]).output
    return home.layout.claim(str(meta["namespace"]), str(claim)) / RUNS_FOLDER / str(meta["name"]) / str(status["revision"])
