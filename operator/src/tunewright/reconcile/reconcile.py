"""Reconciles one FineTuneJob, from its spec to its status, in seven steps, one per room. The rest of the module handles errors.

Level-triggered: it does not depend on what has changed, and can run at any time, any number of times, in any process.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tunewright.api.admission import admit
from tunewright.api.problems import InvalidJob
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.status import FineTuneJobStatus, Phase
from tunewright.observe import has_begun, observe
from tunewright.observe.events import GRACE
from tunewright.observe.pod_refusals import Misfit, misfit_of
from tunewright.observe.raw import UNREADABLE, text
from tunewright.plan.inputs import Defaults, Past, References, StageState
from tunewright.plan.names import revision_of
from tunewright.plan.plan import forecast, plan
from tunewright.plan.plan_types import FineTunePlan, ReferencesMissing, Rejection
from tunewright.reconcile.ports import Ports
from tunewright.render import render
from tunewright.render.manifests import TrialPod, trial_pods
from tunewright.status import (
    summarise,
    summarise_defect,
    summarise_forbidden,
    summarise_invalid,
    summarise_missing,
    summarise_refused,
    summarise_rejected,
)
from tunewright.status.serving import REPLICAS_REVERTED, reverted
from tunewright_contract.reports import ModelFacts
from tunewright_runtime.driver import ReconcileResult
from tunewright_runtime.errors import Forbidden, Gone, Invalid, NotWritten, Rejected, TunewrightError
from tunewright_runtime.objects import Key, Manifest

WAITING_SECONDS = 10.0  # between two lookups of a missing claim or secret, which has no watch
BEGUN_SECONDS = GRACE.total_seconds() + 5.0  # only Events show that a new stage's pods are rejected, and Events trigger no reconcile
RUNNING_SECONDS = 30.0  # a reconcile by event can be lost; this one cannot
REFUSED_SECONDS = 60.0  # the quota may have been raised, or the name may be free
RESTING_SECONDS = 600.0
FAILED_WRITES = 3  # in a row, until status reports them: most webhooks and API servers are back before
FOLLOWING_SECONDS = 30.0  # another job's model may be finished or replaced, which triggers no reconcile
RESTING = frozenset({Phase.COMPLETE, Phase.FAILED, Phase.SERVING, Phase.SUSPENDED})

log = logging.getLogger(__name__)


async def reconcile(key: Key, ports: Ports) -> ReconcileResult:
    """Take a job one step further: apply its children and write its status. Raises Gone, Conflict and Transient."""
    raw = await ports.world.get(key)
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        ports.pace.forget(key)
        raise Gone(f"FineTuneJob {key.namespace}/{key.name} is gone")
    follows = False
    try:
        status, follows = await _advance(key, raw, ports)
    except (InvalidJob, Invalid) as error:
        status = summarise_invalid(str(error), **_context(raw, ports))
    except Rejected as error:
        status = summarise_refused(error.reason, str(error), field=error.field, **_context(raw, ports))
        await _finish(key, raw, status, ports)
        return ReconcileResult(requeue_after=WAITING_SECONDS if status.phase == Phase.WAITING else REFUSED_SECONDS)
    except Forbidden as error:
        await _finish(key, raw, summarise_forbidden(str(error), **_context(raw, ports)), ports)
        raise
    except NotWritten as error:
        if ports.failures(key) + 1 >= FAILED_WRITES:
            await _finish(key, raw, summarise_refused(error.reason, str(error), **_context(raw, ports)), ports)
        raise
    except TunewrightError:  # Conflict, Transient, Gone: the driver decides about a retry
        raise
    except Exception as error:  # a defect: status reports it, the log has the traceback
        await _finish(key, raw, summarise_defect(error, **_context(raw, ports)), ports)
        raise
    pause = await _finish(key, raw, status, ports)
    if status.phase in RESTING:
        ports.steps.forget(str(raw["metadata"]["uid"]))
    return ReconcileResult(requeue_after=pause or _next_look(status, now=ports.clock(), follows=follows))


async def _advance(key: Key, raw: Manifest, ports: Ports) -> tuple[FineTuneJobStatus, bool]:
    """Return the job's status, and whether it serves another job's model."""
    if unreadable := text(raw, UNREADABLE):
        raise Invalid(unreadable)
    uid = str(raw["metadata"]["uid"])
    steps = ports.steps.of(uid)
    children = await ports.world.children(key, uid)
    job = steps(admit, _without_status(raw), begun=has_begun(children))
    refs = await ports.world.dereference(job)
    seen = observe(children, revision=revision_of(job), status=raw.get("status"), now=ports.clock())
    decided = steps(plan, job, refs, seen.past, ports.defaults)
    if isinstance(decided, ReferencesMissing):
        return summarise_missing(decided.missing, **_context(raw, ports)), False
    if isinstance(decided, Rejection):
        return summarise_rejected(decided.reason, str(decided), **_context(raw, ports)), False
    rendering, disrupted = steps(render, decided), seen.disrupted  # what is applied now replaces the disrupted Jobs
    misfits = await _misfits(job, refs, seen.past, ports)
    if (never := [misfit for misfit in misfits if misfit.final]) and seen.past.check.state is StageState.SUCCEEDED:
        raise Rejected("; ".join(map(str, never)), reason=never[0].reason, field=never[0].field)
    wrote, refused = await _apply(key, uid, rendering.children, ports, running=seen.past.runs)
    if wrote:
        if by_hand := reverted(decided, seen.past.serve):
            await ports.world.warn(key, uid, REPLICAS_REVERTED, by_hand)
        made = await ports.world.children(key, uid)
        # includes the children that were created just now
        seen = observe(made, revision=revision_of(job), status=raw.get("status"), now=ports.clock())
    seen = replace(seen, warnings=(*map(str, misfits), *seen.warnings))
    progress = ports.progress.latest(key, uid)
    status = summarise(
        job,
        decided,
        seen,
        serving=rendering.serving,
        progress=progress,
        now=ports.clock(),
        previous=raw.get("status"),
        altered=ports.world.altered(rendering.children),
        disrupted=disrupted,
    )
    if refused is not None:
        status = summarise_refused(refused.reason, str(refused), field=refused.field, present=status, **_context(raw, ports))
    return status, job.served_job() is not None


async def _apply(key: Key, uid: str, children: Sequence[Manifest], ports: Ports, *, running: bool) -> tuple[bool, Rejected | None]:
    """Apply the children. Returns whether anything was written, and the refusal if pods run: their progress is reported beside it."""
    try:
        return await ports.world.apply(key, uid, children), None
    except Rejected as error:
        if not running:
            raise
        return False, error


async def _misfits(job: FineTuneJob, refs: References, past: Past, ports: Ports) -> Sequence[Misfit]:
    """Return the stages whose pods the API server would refuse, until a gang has begun: then nothing is saved by it any more."""
    if not ports.world.tries_pods or past.train.attempts or past.check.state is StageState.FAILED:
        return ()
    facts = past.check.report.model if past.check.report else None
    ahead = ports.steps.of(job.metadata.uid)(_pods_ahead, job, refs, ports.defaults, facts)
    pods = [pod for pod in ahead if past[pod.stage].state is StageState.ABSENT]
    refusals = zip(pods, await ports.world.refusals([pod.manifest for pod in pods]), strict=True)
    return [misfit for pod, refusal in refusals if refusal and (misfit := misfit_of(pod.stage, refusal))]


def _pods_ahead(job: FineTuneJob, refs: References, defaults: Defaults, facts: ModelFacts | None) -> Sequence[TrialPod]:
    """Return one pod of each stage of a job, as if every stage had succeeded."""
    ahead = forecast(job, refs, defaults, model_facts=facts)
    return trial_pods(render(ahead).children) if isinstance(ahead, FineTunePlan) else ()


def _without_status(raw: Manifest) -> Manifest:
    """Return a job without what its own status changes."""
    kept = {name: value for name, value in raw.items() if name != "status"}
    return {**kept, "metadata": {name: value for name, value in raw["metadata"].items() if name != "resourceVersion"}}


async def _finish(key: Key, raw: Manifest, status: FineTuneJobStatus, ports: Ports) -> float:
    """Write the status if it has changed. Returns the seconds until a change that waits is written; 0: none waits."""
    wanted = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    stored: Mapping[str, Any] = raw.get("status") or {}
    if wanted != stored:
        if pause := ports.pace.pause(key, stored, wanted):
            return pause
        await ports.world.patch_status(key, str(raw["metadata"]["uid"]), wanted)
        before = stored.get("phase")
        if before != status.phase:
            log.info("%s/%s: %s -> %s: %s", key.namespace, key.name, before or "new", status.phase, status.message or status.reason)
    ports.pace.forget(key)
    return 0.0


def _context(raw: Manifest, ports: Ports) -> dict[str, Any]:
    previous: Mapping[str, Any] | None = raw.get("status")
    return {"generation": int(raw["metadata"].get("generation", 0)), "now": ports.clock(), "previous": previous}


def _next_look(status: FineTuneJobStatus, *, now: datetime, follows: bool) -> float:
    if status.phase == Phase.WAITING:
        return WAITING_SECONDS
    if status.phase == Phase.SERVING and status.failure is not None:  # a write beside the running server is refused
        return REFUSED_SECONDS
    if status.phase in RESTING:
        return FOLLOWING_SECONDS if follows else RESTING_SECONDS
    turned = max((one.last_transition_time for one in status.conditions if one.last_transition_time), default=now)
    return BEGUN_SECONDS if now - turned < timedelta(seconds=RUNNING_SECONDS) else RUNNING_SECONDS
