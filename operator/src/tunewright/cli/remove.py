"""`tunewright delete`."""

import asyncio
import sys
from pathlib import Path

import typer

from tunewright.cli.console import err, home_at, out, report_errors
from tunewright.cli.jobs import stored_job
from tunewright_runtime.objects import Key


def remove(key: Key, *, keep_models: bool, yes: bool, home_folder: Path | None) -> None:
    """Delete a job, and print what stays and why. In a claim that the job did not create, files are removed only after a confirmation."""
    home = home_at(home_folder)
    with report_errors():
        stored_job(home, key)
        home.prepare()
        outside = home.removal(key).outside()
        confirmed = yes or (bool(outside) and _confirmed(outside))
        kept = asyncio.run(home.delete(key, keep_models=keep_models, outside=confirmed))
    out.print(f"FineTuneJob {key[0]}/{key[1]} deleted", markup=False)
    for item in kept:
        out.print(f"kept: {item.path} ({item.why})", markup=False)


def _confirmed(outside: list[Path]) -> bool:
    """Ask for a confirmation at a terminal. Without a terminal the answer is no."""
    for folder in outside:
        err.print(f"in a claim that this job did not create: {folder}", markup=False)
    if not sys.stdin.isatty():
        err.print("    → these stay; to remove what this job made there, too: --yes", style="green", markup=False)
        return False
    return typer.confirm("Remove what this job made there?", default=False, err=True)
