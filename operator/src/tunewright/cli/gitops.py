"""Changes of a job that a GitOps controller also writes: which controller would revert them, and the patch of a retry."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tunewright.cli.places import Job
from tunewright.plan.label_names import RETRY

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
