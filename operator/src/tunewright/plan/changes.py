"""Change policies: a chain of rules, each with a function that returns the job without the rejected change.

After a rejected change the running work continues unchanged. Each rule gets the job that the rules before it have returned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan import queueing
from tunewright.plan.inputs import Defaults, Missing, Past, References, StageState
from tunewright.plan.label_names import PARTIAL_ADMISSION
from tunewright.plan.memory.zero import weigh_memory
from tunewright.plan.placement import reject_gang_volume, reject_read_only, reject_server_volume
from tunewright.plan.plan_types import Rejection, Storage
from tunewright.plan.resize import (
    as_begun,
    as_trained,
    can_stay,
    goes_on,
    reject_accelerators,
    reject_batch,
    reject_stuck_shards,
    with_begun_resources,
)
from tunewright.plan.rollout import PublishedModel
from tunewright_contract.reports import ModelFacts


@dataclass(frozen=True, kw_only=True)
class Known:
    """Input of the rules besides the job and its past."""

    refs: References
    defaults: Defaults
    facts: ModelFacts | None  # None: parameters are not counted yet
    storage: Storage
    model: PublishedModel | Missing  # the model to serve


class Policy(NamedTuple):
    """One rule. `without` returns None if the running work cannot continue without the rejected change."""

    reject: Callable[[FineTuneJob, Past, Known], Rejection | None]
    without: Callable[[FineTuneJob, Past], FineTuneJob | None]


class Accepted(NamedTuple):
    """The accepted job, and the objection to the rejected changes."""

    job: FineTuneJob
    objections: tuple[Rejection, ...]


def accept(job: FineTuneJob, past: Past, known: Known) -> Accepted | Rejection:
    """Return the job without the rejected changes; a rejection if nothing has begun, or if the running work cannot continue."""
    job = as_trained(job, past)
    objections: list[Rejection] = []
    for policy in POLICIES:
        rejection = policy.reject(job, past, known)
        if rejection is None:
            continue
        before = policy.without(job, past) if _is_under_way(past) else None
        if before is None:
            return rejection
        if still := policy.reject(before, past, known):
            return still
        objections.append(rejection)
        job = before
    return Accepted(job, tuple(objections))


def reject_at_start(job: FineTuneJob) -> Rejection | None:
    """Return why a job could not begin in its queue."""
    rules = (queueing.reject_resize_in_queue, queueing.reject_partial_admission, queueing.reject_suspend_in_queue)
    return next(filter(None, (rule(job, Past()) for rule in rules)), None)


def _is_under_way(past: Past) -> bool:
    """Return whether a gang exists, or Check has begun, after which a gang would begin."""
    return past.train.attempts > 0 or past.check.state not in {StageState.ABSENT, StageState.SUCCEEDED}


def _reject_size(job: FineTuneJob, past: Past, known: Known) -> Rejection | None:
    if rejection := reject_batch(job.spec, past.train):
        return rejection
    fit = weigh_memory(job.spec, known.facts, known.defaults, begun_stage=past.train.zero_stage)
    return fit if isinstance(fit, Rejection) else reject_stuck_shards(job.spec, past.train, stage=fit.zero_stage)


def _with_begun_workers(job: FineTuneJob, past: Past) -> FineTuneJob | None:
    return as_begun(job, past) if can_stay(job, past) else None


def _with_begun_gang(job: FineTuneJob, past: Past) -> FineTuneJob | None:
    """Return the job with number and resources of the gang that exists; None if that changes nothing."""
    before = with_begun_resources(as_begun(job, past), past)
    return before if goes_on(past) and before != job else None


def _without_partial_admission(job: FineTuneJob, _: Past) -> FineTuneJob:
    rest = {name: value for name, value in job.metadata.annotations.items() if name != PARTIAL_ADMISSION}
    return job.model_copy(update={"metadata": job.metadata.model_copy(update={"annotations": rest})})


def _without_suspend(job: FineTuneJob, _: Past) -> FineTuneJob:
    return job.model_copy(update={"spec": job.spec.model_copy(update={"suspend": False})})


def _without_server(job: FineTuneJob, past: Past) -> FineTuneJob | None:
    """Return the job without its server; None after the export, when the plan needs the server."""
    if past.export.state is StageState.SUCCEEDED:
        return None
    return job.model_copy(update={"spec": job.spec.model_copy(update={"serving": None})})


def _nothing(_: FineTuneJob, __: Past) -> None:
    return None


POLICIES = (
    Policy(lambda job, past, _: queueing.reject_resize_in_queue(job, past), _with_begun_workers),
    Policy(lambda job, past, _: queueing.reject_partial_admission(job, past), _without_partial_admission),
    Policy(lambda job, past, _: queueing.reject_suspend_in_queue(job, past), _without_suspend),
    Policy(lambda job, past, _: reject_accelerators(job, past), with_begun_resources),
    Policy(_reject_size, _with_begun_gang),
    Policy(lambda job, _, known: reject_read_only(job, known.refs, known.storage, known.model), _nothing),
    Policy(lambda job, _, known: reject_gang_volume(job, known.refs, known.storage, known.model), _with_begun_workers),
    Policy(lambda job, _, known: reject_server_volume(job, known.refs, known.storage, known.model), _without_server),
)
