"""Reads the user's manifest into a job that the home folder accepts, or reports all of its faults at once."""

from pathlib import Path
from typing import Any

import typer

from tunewright.api.manifest import ManifestError, read_job
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.yaml_nodes import read_document
from tunewright.cli.console import EXIT_REFUSED, read_text, show_manifest_error


def load(path: Path) -> tuple[FineTuneJob, dict[str, Any]]:
    """Return a manifest as a job and as it was written. Prints every problem and leaves when there is one."""
    text = read_text(path)
    try:
        job = read_job(text, str(path))
    except ManifestError as error:
        show_manifest_error(error)
        raise typer.Exit(EXIT_REFUSED) from None
    return job, dict(read_document(text).value)
