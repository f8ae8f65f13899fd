"""`tunewright delete`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from tunewright.cli.console import err, out, report_errors
from tunewright.cli.jobs import find
from tunewright.cli.places import Place
from tunewright_runtime.objects import Key


def remove(place: Place, key: Key, *, keep_models: bool, yes: bool) -> None:
    """Delete a job, and print what stays and why. In a claim that the job did not create, files are removed only after a confirmation."""
    with report_errors():
        job = find(place, key)
        kept = place.delete(job, keep_models=keep_models, confirm=lambda outside: yes or _confirmed(outside))
    out.print(f"FineTuneJob {key.namespace}/{key.name} deleted", markup=False)
    for item in kept:
        out.print(f"kept: {item}", markup=False)


def _confirmed(outside: Sequence[Path]) -> bool:
    """Ask for a confirmation at a terminal. Without a terminal the answer is no."""
    for folder in outside:
        err.print(f"in a claim that this job did not create: {folder}", markup=False)
    if not sys.stdin.isatty():
        err.print("    → these stay; to remove what this job made there, too: --yes", style="green", markup=False)
        return False
    return typer.confirm("Remove what this job made there?", default=False, err=True)
