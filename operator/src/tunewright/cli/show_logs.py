"""Prints what a job's pods have printed."""

import re
import time
from pathlib import Path

import typer

from tunewright.cli.console import fail, home_at, out
from tunewright.errors import TunewrightError
from tunewright.local.app import Home
from tunewright.local.logs import Follower
from tunewright.plan.names import names_of

STAGES = ("check", "train", "export", "serve")
LOOK_SECONDS = 0.3


def show_logs(key: tuple[str, str], *, stage: str | None, rank: int | None, follow: bool, home_folder: Path | None) -> None:
    """Print the logs of a stage's newest pods, the newest stage's when none is named."""
    if stage is not None and stage not in STAGES:
        raise typer.BadParameter(f"{stage} is none of {', '.join(STAGES)}", param_hint="--stage")
    home = home_at(home_folder)
    try:
        home.job(key)
    except TunewrightError as error:
        fail(str(error), "List them all: tunewright get")
    wanted = _pods(home, key, stage, rank)
    if not wanted and not follow:
        fail(f"{key[1]} has printed nothing{f' in {stage}' if stage else ''} yet", f"See where it stands: tunewright describe {key[1]}")
    follower = Follower(home.log_folder(key), from_now=True)
    for pod, path in wanted.items():
        for line in path.read_text(errors="replace").splitlines():
            _print(pod, line, several=len(wanted) > 1)
    while follow:
        for pod, line in follower.new_lines():
            if _matches(key[1], pod, stage, rank):
                _print(pod, line, several=True)
        time.sleep(LOOK_SECONDS)


def _pods(home: Home, key: tuple[str, str], stage: str | None, rank: int | None) -> dict[str, Path]:
    """Return pod -> log file. Without a stage: of the stage that printed last."""
    logs = home.logs(key)
    if stage is None and logs:
        newest = max(logs, key=lambda pod: logs[pod].stat().st_mtime_ns)
        stage = next((name for name in STAGES if _matches(key[1], newest, name, None)), None)
    return {pod: path for pod, path in logs.items() if _matches(key[1], pod, stage, rank)}


def _matches(job: str, pod: str, stage: str | None, rank: int | None) -> bool:
    """Pods are `<job>-<stage>-…`; those of a gang `<job>-train-<attempt>-<rank>-<random>`."""
    if stage is not None and not pod.startswith(getattr(names_of(job), stage) + "-"):
        return False
    gang = re.search(r"-\d+-(\d+)-[a-z0-9]+$", pod)
    return rank is None or (gang is not None and int(gang[1]) == rank)


def _print(pod: str, line: str, *, several: bool) -> None:
    out.print(f"{pod} | {line}" if several else line, markup=False)
