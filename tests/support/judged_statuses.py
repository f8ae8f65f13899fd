"""Statuses for the health checks of GitOps controllers, each written by the operator's status room, with their verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from plan_builders import exporting, hub_plan, quickstart_plan, serving
from status_builders import NOON, a_job, posted, seen

from tunewright.api.crdgen import UNSEEN
from tunewright.api.v1alpha1.status import FineTuneJobStatus
from tunewright.plan.inputs import Missing, ServeOutcome, StageOutcome, StageState, TrainOutcome
from tunewright.plan.plan_types import Objection
from tunewright.render import render
from tunewright.status import summarise, summarise_invalid, summarise_missing, summarise_rejected
from tunewright_contract.reports import Failure

RUNNING = TrainOutcome(state=StageState.RUNNING, attempts=1)
BROKEN = StageOutcome(state=StageState.FAILED, failure=Failure(reason="DataInvalid", message="train.jsonl line 3: no role"))
REFUSED = Objection(reason="HeldByQueue", message="spec.suspend: leave it false")
MISSING = [Missing(field="spec.model.source.pvc.claimName", kind="PersistentVolumeClaim", name="base", message="create it")]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A FineTuneJob as it is stored, and the verdicts on it."""

    name: str
    argo: str
    flux: str
    says: str  # part of Argo CD's message
    job: Mapping[str, Any]


def stored(status: Mapping[str, Any] | None, *, generation: int = 1, deleting: bool = False) -> Mapping[str, Any]:
    """Return a job as the API server has it."""
    metadata: dict[str, Any] = {"name": "bot", "namespace": "research", "generation": generation}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    job = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": metadata, "spec": {"task": "ChatCompletion"}}
    return {**job, "status": {"observedGeneration": UNSEEN} if status is None else status}


def judged() -> list[Judged]:
    """Return the table."""

    def told(observation: Any, plan: Any, progress: Any = None, *, serves: bool = True) -> dict[str, Any]:
        job = a_job(serving=serves)
        return dict(summarise(job, plan, observation, serving=render(plan).serving, progress=progress, now=NOON, previous=None).wire())

    def wire(status: FineTuneJobStatus) -> dict[str, Any]:
        return dict(status.wire())

    always: dict[str, Any] = {"generation": 1, "now": NOON, "previous": None}
    plan, served = quickstart_plan(), serving(quickstart_plan())
    up = told(seen("check", "train", "export", "serve"), served)
    half = posted(percentage=33, global_step=40, max_steps=120)
    rows: list[tuple[str, str, str, str, Mapping[str, Any]]] = [
        ("new", "Progressing", "InProgress", "not looked at it yet", stored(None)),
        ("changed since", "Progressing", "InProgress", "latest change", stored(up, generation=2)),
        (
            "checking",
            "Progressing",
            "InProgress",
            "check is running",
            stored(told(seen(check=StageOutcome(state=StageState.RUNNING)), plan)),
        ),
        ("training", "Progressing", "InProgress", "training: 33 %", stored(told(seen("check", train=RUNNING), plan, half))),
        (
            "a change refused",
            "Progressing",
            "InProgress",
            "training: 33 %; spec.suspend: leave it false",
            stored(told(seen("check", train=RUNNING), replace(plan, objection=REFUSED), half)),
        ),
        ("exporting", "Progressing", "InProgress", "export is", stored(told(seen("check", "train"), exporting(plan)))),
        ("deploying", "Progressing", "InProgress", "serve is", stored(told(seen("check", "train", "export"), served))),
        (
            "queued",
            "Progressing",
            "InProgress",
            "queue",
            stored(told(seen("check", train=TrainOutcome(state=StageState.SUSPENDED, attempts=1)), hub_plan())),
        ),
        ("waiting", "Progressing", "InProgress", "create it", stored(wire(summarise_missing(MISSING, **always)))),
        ("serving", "Healthy", "Current", "the model answers", stored(up)),
        (
            "complete",
            "Healthy",
            "Current",
            "the model is written",
            stored(told(seen("check", "train", "export"), exporting(plan), serves=False)),
        ),
        ("suspended", "Suspended", "Current", "suspended", stored(told(seen("check"), quickstart_plan(suspend=True, train=None)))),
        ("failed", "Degraded", "Failed", "line 3", stored(told(seen(check=BROKEN), quickstart_plan(train=None)))),
        ("rejected", "Degraded", "Failed", "does not fit", stored(wire(summarise_rejected("DoesNotFit", "it does not fit", **always)))),
        ("invalid", "Degraded", "Failed", "no such field", stored(wire(summarise_invalid("no such field", **always)))),
        (
            "servers lost",
            "Progressing",
            "InProgress",
            "serve is",
            stored(told(seen("check", "train", "export", serve=ServeOutcome(state=StageState.RUNNING)), served)),
        ),
        ("going", "Progressing", "InProgress", "being deleted", stored(up, deleting=True)),
    ]
    return [Judged(name=name, argo=argo, flux=flux, says=says, job=job) for name, argo, flux, says, job in rows]
