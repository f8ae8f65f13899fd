"""`tunewright validate`, and reading a manifest for the other commands: every problem of it is printed at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from tunewright.api.admission import ManifestError, read_job
from tunewright.api.v1alpha1.job import FineTuneJob, parse
from tunewright.api.yaml_nodes import read_document
from tunewright.cli.console import EXIT_FAILED, EXIT_REFUSED, fail, out, read_text, report_errors, show_manifest_error
from tunewright.cli.places import Place, Run


def run_manifest(place: Place, wanted: Run, namespace: str | None) -> None:
    """Run a manifest's job at a place. Exits with the code that the place returns."""
    _, raw = load(wanted.path)
    located = in_namespace(raw, place, namespace)
    with report_errors():
        code = place.run(parse(located), located, wanted)
    raise typer.Exit(code)


def in_namespace(raw: Mapping[str, Any], place: Place, namespace: str | None) -> dict[str, Any]:
    """Return a manifest with a namespace: its own, else that of `-n`, else the place's. Exits with 64 if it and `-n` differ."""
    own = raw["metadata"].get("namespace")
    if own and namespace and own != namespace:
        message = f"metadata.namespace of the manifest is {own}, and --namespace is {namespace}"
        fail(message, "Leave --namespace out, or change the manifest.", code=EXIT_REFUSED)
    return {**raw, "metadata": {**raw["metadata"], "namespace": own or namespace or place.namespace}}


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
