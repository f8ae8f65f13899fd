"""From the file a person names to a job that the home folder accepts. Everything that is wrong with it is said here, at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from tunewright.api.immutable import changed_inputs
from tunewright.api.manifest import ManifestError, read_job
from tunewright.api.v1alpha1.job import FineTuneJob, parse
from tunewright.api.yaml_nodes import read_document
from tunewright.cli.console import EXIT_REFUSED, fail, read_text, show_manifest_error
from tunewright.cli.preview import references
from tunewright.local.app import Home
from tunewright.local.world import MANIFEST_DIRECTORY


def load(path: Path) -> tuple[FineTuneJob, dict[str, Any]]:
    """Return a manifest as a job and as it was written. Prints every problem and leaves when there is one."""
    text = read_text(path)
    try:
        job = read_job(text, str(path))
    except ManifestError as error:
        show_manifest_error(error)
        raise typer.Exit(EXIT_REFUSED) from None
    return job, dict(read_document(text).value)


def refuse_changed_inputs(home: Home, job: FineTuneJob, directory: Path) -> None:
    """Leave when this job exists already and would be made from something else now, as an API server would refuse it."""
    name = job.metadata.name
    stored = next((raw for raw in home.jobs(job.metadata.namespace) if raw["metadata"]["name"] == name), None)
    if stored is None:
        return
    try:
        before = parse(stored)
    except ValidationError as error:
        fail(f"FineTuneJob {name} exists already, and was stored in words that are not read any more: {error}", _way_out(name))
    changed = changed_inputs(before, job) or _moved(before, stored["metadata"], job, directory)
    if changed:
        fail(
            f"FineTuneJob {name} exists already, and what a model is made from cannot change under it: {', '.join(changed)}",
            _way_out(name),
            code=EXIT_REFUSED,
        )


def _moved(before: FineTuneJob, meta: Mapping[str, Any], job: FineTuneJob, directory: Path) -> tuple[str, ...]:
    """Return the `path` sources that are the same words and another place, because the manifest lies in another folder now."""
    written = (meta.get("annotations") or {}).get(MANIFEST_DIRECTORY)
    if written is None:
        return ()
    old, new = references(before, Path(written)).folders, references(job, directory).folders
    return tuple(f"path {path} was {old[path]} and is {new[path]} now" for path in sorted(new) if old.get(path, new[path]) != new[path])


def _way_out(name: str) -> str:
    return f"Give the job another metadata.name, or remove the old one first: tunewright delete {name}"
