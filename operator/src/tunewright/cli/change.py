"""`tunewright suspend`, `resume`, `retry` and `delete`: one change of a stored job, and what follows from it.

A GitOps controller may also write the job: messages name the controller that would revert a change.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from tunewright.cli.console import err, fail, out, report_errors
from tunewright.cli.jobs import find
from tunewright.cli.places import Job, Place, is_stalled
from tunewright.plan.label_names import RETRY
from tunewright.status.retries import can_help
from tunewright_runtime.objects import Key

_MARKS = {  # labels and annotations by which controllers mark what they apply
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}


def retry_patch(now: float) -> dict[str, Any]:
    """Return the patch that runs a failed stage again. The text only has to differ from the last one."""
    return {"metadata": {"annotations": {RETRY: datetime.fromtimestamp(now, UTC).isoformat()}}}


def reverting(job: Job, patch: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note if another manager applies one of the patched fields, or a GitOps controller applies the job."""
    meta = job["metadata"]
    marks = {**(meta.get("labels") or {}), **(meta.get("annotations") or {})}
    controllers = {name for mark, name in _MARKS.items() if mark in marks}
    managers = {
        entry["manager"]
        for entry in meta.get("managedFields") or ()
        if entry.get("operation") == "Apply" and any(_has(entry.get("fieldsV1") or {}, path) for path in _paths(patch))
    }
    for who in sorted(controllers | managers):
        yield f"{who} applies this job, and will revert the change if its repository has another value: change it there, too"


def _paths(patch: Mapping[str, Any], above: Sequence[str] = ()) -> Iterator[Sequence[str]]:
    for name, value in patch.items():
        if isinstance(value, Mapping):
            yield from _paths(value, (*above, name))
        else:
            yield (*above, name)


def _has(fields: Mapping[str, Any], path: Sequence[str]) -> bool:
    for name in path:
        if f"f:{name}" not in fields:
            return False
        fields = fields[f"f:{name}"]
    return True


def suspend(place: Place, key: Key, *, suspended: bool) -> None:
    """Set spec.suspend, unless it is set so."""
    word = "suspended" if suspended else "resumed"
    with report_errors():
        job = find(place, key)
        if bool(job["spec"].get("suspend", False)) == suspended:
            out.print(f"FineTuneJob {key.namespace}/{key.name} is {'suspended already' if suspended else 'not suspended'}", markup=False)
            return
        place.suspend(job, suspended=suspended)
    out.print(f"FineTuneJob {key.namespace}/{key.name} {word}", markup=False)


def retry(place: Place, key: Key) -> None:
    """Run the failed stage of a job again. Exits with 1 if a retry runs none."""
    with report_errors():
        job = find(place, key)
        status = job.get("status", {})
        if not can_help(status):
            way_out = f"See: {place.command(f'describe {key.name}', key.namespace)}"
            if is_stalled(job):
                fail(f"a retry does not help {key.name}: {status['reason']}", (status.get("failure") or {}).get("suggestion") or way_out)
            fail(f"{key.name} has not failed (phase {status.get('phase', 'Pending')})", way_out)
        out.print(place.retry(job), markup=False)


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
