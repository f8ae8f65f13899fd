"""Prints the faults of manifests, or that there are none."""

from collections.abc import Sequence
from pathlib import Path

import typer

from tunewright.cli.console import EXIT_FAILED, EXIT_REFUSED, out
from tunewright.cli.manifests import load


def show_problems(paths: Sequence[Path]) -> None:
    """Check every file, also after a wrong one. Leaves with 64 when a manifest has problems, else with 1 when a file cannot be read."""
    codes = {_check(path) for path in paths}
    for code in (EXIT_REFUSED, EXIT_FAILED):
        if code in codes:
            raise typer.Exit(code)


def _check(path: Path) -> int:
    try:
        job, _ = load(path)
    except typer.Exit as refused:
        return refused.exit_code
    out.print(f"{path}: FineTuneJob {job.metadata.namespace}/{job.metadata.name} is valid", markup=False)
    return 0
