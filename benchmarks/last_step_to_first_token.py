"""Time from the last training step to the first token of the served model, phase by phase.

    python benchmarks/last_step_to_first_token.py                      # examples/quickstart.yaml as it is
    python benchmarks/last_step_to_first_token.py --steps 8            # a shorter training: what comes after it stays the same

The job runs as `tunewright run` runs it, in a home of its own that is removed afterwards. Nothing is instrumented: the landmarks are
what the stages write down anyway (metrics.jsonl, their logs, and when their processes started and ended). The last row is measured here:
a chat request, streamed, sent as soon as the job's status says that it is served. One run; on a machine that is busy the shares mean
more than the seconds.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tunewright.api.yaml_nodes import read_document
from tunewright.cli.ask import stream_answer
from tunewright.cli.console import columns
from tunewright.cli.live import headline, read_metrics
from tunewright.cli.local_operator import Event, LocalOperator, StatusChanged
from tunewright.cli.places import settled
from tunewright.cli.result import as_asked, output_folder, served_name
from tunewright.local.app import Home

QUICKSTART = Path(__file__).resolve().parent.parent / "examples" / "quickstart.yaml"
TIMED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) INFO (?:\[rank 0\] )?(.*)$", flags=re.MULTILINE)
# Text of a log line -> the phase that it ends. In the order of the stages.
TRAINER_SAYS = (("final/ is complete", "checkpoint and trained weights saved"),)
EXPORT_SAYS = (
    ("base model scored", "export: libraries loaded, base model scored"),
    ("recorded and merged", "export: adapter merged"),
    ("exported to ONNX", "export: ONNX written"),
    ("compared in", "export: parity"),
    ("tuned model scored", "export: tuned model scored"),
    ("published", "export: published"),
)
SERVER_SAYS = (("listening", "server: listening"), ("ready", "server: model loaded, self-test passed"))


@dataclass(frozen=True)
class Landmark:
    """Something that had happened at a time, in seconds since the epoch."""

    name: str
    at: float


def apply(manifest: Path, home: Home, *, steps: int | None) -> tuple[str, str]:
    """Store the manifest's job in the home and return its key."""
    raw: dict[str, Any] = read_document(manifest.read_text(encoding="utf-8")).value
    if steps is not None:
        raw["spec"]["training"]["maxSteps"] = steps
    return home.apply(raw, manifest.parent)


async def run(home: Home, key: tuple[str, str]) -> list[Landmark]:
    """Take the job to its first served token, and return all landmarks in the order of time."""
    async with LocalOperator(home, key, on_event=_show) as operator:
        job = await operator.wait(settled)
        serving = Landmark("operator: job is Serving", time.time())
        if job["status"]["phase"] != "Serving":
            sys.exit(f"the job did not get there: {job['status'].get('message')}")
        asked = as_asked(job, "Hello, a small espresso for Ada, please.")
        async for piece in stream_answer(job["status"]["serving"]["url"], model=served_name(job), asked=asked, max_tokens=8):
            if piece:
                break
        first = Landmark("client: first token", time.time())
        return sorted([*_of_training(home, job), *_of_pods(home, key), serving, first], key=lambda landmark: landmark.at)


def _of_training(home: Home, job: Mapping[str, Any]) -> Iterator[Landmark]:
    folder = output_folder(home, job)
    assert folder is not None
    rows = read_metrics(folder / "metrics.jsonl")
    yield Landmark("last training step", next(row["time"] for row in reversed(rows) if "loss" in row))
    if "eval_loss" in rows[-1]:
        yield Landmark("validation after the last step", rows[-1]["time"])


def _of_pods(home: Home, key: tuple[str, str]) -> Iterator[Landmark]:
    """Read when processes started and ended, and what they said in between."""
    logs = home.logs(key)
    for pod in home.store.select("Pod", key[0]):
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        folder = home.layout.pod(key[0], name, uid).run(0)
        text = logs[name].read_text(errors="replace") if name in logs else ""
        if "-train-" in name and re.search(r"-0-[a-z0-9]+$", name):
            yield from _said(text, TRAINER_SAYS)
            yield Landmark("trainer ended", _time(folder / "exit.json", "finishedAt"))
        elif "-export-" in name:
            yield Landmark("export: process started", _time(folder / "shim.json", "startedAt"))
            yield from _said(text, EXPORT_SAYS)
            yield Landmark("export: process ended", _time(folder / "exit.json", "finishedAt"))
        elif "-serve-" in name:
            yield Landmark("server: process started", _time(folder / "shim.json", "startedAt"))
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            for word, phase in SERVER_SAYS:
                yield from (Landmark(phase, datetime.fromisoformat(line["time"]).timestamp()) for line in lines if line["message"] == word)


def _said(text: str, words: tuple[tuple[str, str], ...]) -> Iterator[Landmark]:
    for stamp, message in TIMED.findall(text):
        for word, phase in words:
            if word in message:
                yield Landmark(
                    phase, datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()
                )  # logging writes local time


def _time(path: Path, name: str) -> float:
    return float(json.loads(path.read_text())[name])


def _show(event: Event) -> None:
    if isinstance(event, StatusChanged):
        print(f"\r{headline(event.job.get('status', {})):<100.100}", end="", file=sys.stderr, flush=True)


def table(landmarks: list[Landmark]) -> str:
    """Seconds since the last training step, seconds of each phase, and its share."""
    start = next(index for index, landmark in enumerate(landmarks) if landmark.name == "last training step")
    relevant = landmarks[start:]
    whole = relevant[-1].at - relevant[0].at
    rows = [("until", "at", "took", "share")]
    for before, after in pairwise(relevant):
        took = after.at - before.at
        rows.append((after.name, f"{after.at - relevant[0].at:.1f} s", f"{took:.1f} s", f"{took / whole:.0%}"))
    return columns(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=QUICKSTART)
    parser.add_argument("--steps", type=int, help="train for this many steps instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunewright-benchmark-") as folder:
        home = Home(Path(folder))
        landmarks = asyncio.run(run(home, apply(options.manifest.absolute(), home, steps=options.steps)))
    print(f"\n{table(landmarks)}")


if __name__ == "__main__":
    main()
