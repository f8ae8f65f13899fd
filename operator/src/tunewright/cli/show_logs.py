"""Prints what a job's pods have printed."""

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tunewright.cli.console import fail, home_at, out, report_errors
from tunewright.cli.jobs import stored_job
from tunewright.local.app import Home
from tunewright.local.logs import Follower
from tunewright.plan.names import names_of
from tunewright_contract import stages
from tunewright_runtime.objects import Key

STAGES = {stage.name: stage for stage in stages.STAGES}
LOOK_SECONDS = 0.3
_GANG = re.compile(r"-\d+-(\d+)-[a-z0-9]+$")  # `<job>-train-<attempt>-<rank>-<random>`


def show_logs(
    key: Key, *, stage: str | None, rank: int | None, everything: bool, tail: int | None, follow: bool, home_folder: Path | None
) -> None:
    """Print the logs of a stage's newest pods, or with `everything` of all its pods. `tail` is a number of lines of each pod."""
    home = home_at(home_folder)
    with report_errors():
        stored_job(home, key)
        wanted = _pods(home.logs(key), key[1], stage, rank, everything=everything)
        if follow:
            _follow(home, key, stage, rank, wanted, tail)
        if not wanted:
            of = "".join([f" in {stage}" if stage else "", f" as rank {rank}" if rank is not None else ""])
            fail(f"{key[1]} has printed nothing{of} yet", f"To see its state: tunewright describe {key[1]}")
        for pod, path in wanted.items():
            _print(pod, _last(_lines(path.read_bytes()), tail), several=len(wanted) > 1)


def _follow(home: Home, key: Key, stage: str | None, rank: int | None, wanted: Iterable[str], tail: int | None) -> None:
    """Print the logs of the selected pods, then follow them. Without a named stage, follow later stages, too."""
    follower = Follower(home.log_folder(key))
    before: dict[str, list[str]] = {pod: [] for pod in wanted}
    for pod, line in follower.new_lines():
        before.get(pod, []).append(line)
    for pod, lines in before.items():
        _print(pod, _last(lines, tail), several=True)
    while True:
        for pod, line in follower.new_lines():
            if _matches(key[1], pod, stage, rank):
                _print(pod, [line], several=True)
        time.sleep(LOOK_SECONDS)


def _pods(logs: Mapping[str, Path], job: str, stage: str | None, rank: int | None, *, everything: bool) -> dict[str, Path]:
    """Return pod -> log file. Without a stage: the stage with the newest output. Of a stage: its last attempt, or its last pod."""
    if not logs:
        return {}

    def last(pods: Iterable[str]) -> str:
        return max(pods, key=lambda pod: logs[pod].stat().st_mtime_ns)

    if stage is None:
        newest = last(logs)
        stage = next((name for name in STAGES if _matches(job, newest, name, None)), None)
    of_stage = [pod for pod in logs if _matches(job, pod, stage, None)]
    if of_stage and not everything:
        attempt = _attempt(last(of_stage))
        of_stage = [pod for pod in of_stage if _attempt(pod) == attempt]
    return {pod: logs[pod] for pod in of_stage if _matches(job, pod, stage, rank)}


def _attempt(pod: str) -> str:
    """The common name of pods that work together: `<job>-train-<attempt>` for a gang, its own name for any other pod."""
    gang = _GANG.search(pod)
    return pod[: gang.start(1)] if gang else pod


def _matches(job: str, pod: str, stage: str | None, rank: int | None) -> bool:
    if stage is not None and not pod.startswith(names_of(job)[STAGES[stage]] + "-"):
        return False
    gang = _GANG.search(pod)
    return rank is None or (gang is not None and int(gang[1]) == rank)


def _lines(text: bytes) -> list[str]:
    """Return the lines as a terminal shows them: only the last state of a redrawn progress bar."""
    return [line.rstrip("\r").rpartition("\r")[2] for line in text.decode(errors="replace").rstrip("\n").split("\n")]


def _last(lines: list[str], tail: int | None) -> list[str]:
    return lines if tail is None else lines[max(len(lines) - tail, 0) :]


def _print(pod: str, lines: list[str], *, several: bool) -> None:
    for line in lines:
        out.print(f"{pod} | {line}" if several else line, markup=False)
