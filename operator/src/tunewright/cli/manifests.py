"""`tunewright validate`, and reading a manifest for the other commands: every problem of it is printed at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from tunewright.api.manifest import ManifestError, read_job
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.yaml_nodes import read_document
from tunewright.cli.console import EXIT_FAILED, EXIT_REFUSED, out, read_text, show_manifest_error


def load(path: Path) -> tuple[FineTuneJob, dict[str, Any]]:
    """Return a manifest as a job and as it was written. Prints every problem, and exits if there is one."""
    text = read_text(path)
    try:
        job = read_job(text, str(path))
    except ManifestError as error:
        show_manifest_error(error)
        raise typer.Exit(EXIT_REFUSED) from None
    return job, dict(read_document(text).value)


def show_problems(paths: Sequence[Path]) -> None:
    """Check every file, also after a wrong one. Exits with 64 if a manifest has problems, else with 1 if a file cannot be read."""
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
