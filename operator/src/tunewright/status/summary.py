"""`summarise`: the whole status of a job, written once per reconcile.

It is derived each time from the plan and the observation. From the previous status it takes only what cannot be derived: the times of
conditions, the highest step, and reports of pods that are gone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.status import Condition, ConditionType, FineTuneJobStatus, Phase, Reason
from tunewright.observe.observation import Observation
from tunewright.plan.inputs import Missing, StageState
from tunewright.plan.label_names import RETRY
from tunewright.plan.plan_types import FineTunePlan
from tunewright.plan.regression import judged, regression_of
from tunewright.plan.rollout import Choice
from tunewright.status.conditions import FALSE, TRUE, conditions_of, make_condition, set_conditions
from tunewright.status.failures import PLANNING, explained_failure, failure_of, failure_status, refusal_of
from tunewright.status.progress import since_running, summarise_checkpoint, summarise_progress, with_no_progress
from tunewright.status.results import artifact_status, data_status, evaluation_status, plan_status
from tunewright.status.retries import count_disruptions, often_disrupted, to_continue, without_effect
from tunewright.status.serving import as_planned, scaling_warnings, serving_status
from tunewright.status.situation import situation_of
from tunewright.status.standing import standing_of
from tunewright_contract.progress import ProgressReport
from tunewright_contract.reports import Failure
from tunewright_contract.stages import Stage
from tunewright_contract.text import clip, one_line


def summarise(
    job: FineTuneJob,
    plan: FineTunePlan,
    seen: Observation,
    *,
    serving: Choice | None,
    progress: ProgressReport | None,
    now: datetime,
    previous: Mapping[str, Any] | None,
    altered: Sequence[str] = (),
    disrupted: Mapping[Stage, str] | None = None,
) -> FineTuneJobStatus:
    """Return a job's status.

    `serving` is the server revision that was rendered, `previous` the status as stored, `now` the time with a time zone,
    `altered` the objects that a policy has changed, `disrupted` the Jobs (stage -> uid) that are followed by others after a disruption.
    """
    before = _of_revision(_read(previous), plan.revision)
    attempts = seen.past.train.attempts
    same_attempt = before.attempts == attempts
    posted = summarise_progress(progress, seen.past.train, before.progress, same_attempt=same_attempt, now=now)
    since = since_running(seen.past.train, before.running_since, same_attempt=same_attempt, now=now)
    regression = regression_of(job, seen.past)
    past = judged(job, with_no_progress(as_planned(seen.past, plan, serving), plan, posted, since=since, now=now))
    situation = situation_of(past, plan, serving=job.spec.serving is not None, leaving=seen.leaving)
    generation = job.metadata.generation
    conditions = set_conditions(_read(previous).conditions, conditions_of(situation, regression, altered), generation=generation, now=now)
    failure, at = situation.outcome.failure, situation.at
    check, export = seen.past.check.report, seen.past.export.report
    checked = seen.past.check.state is StageState.SUCCEEDED  # before, status can only have what was observed then
    scaling = scaling_warnings(job.spec.serving, plan, seen.past.serve)
    disruptions = count_disruptions(situation, disrupted or {}, before.disruptions)
    unused = without_effect(situation, job.metadata.annotations.get(RETRY, ""))
    of_check = check.warnings if check else before.warnings if checked else ()
    warnings = (*map(str, plan.lacking), *unused, *often_disrupted(situation, disruptions), *scaling, *seen.warnings, *of_check)
    return FineTuneJobStatus(
        conditions=conditions,
        observed_generation=generation,
        phase=standing_of(situation).phase,
        revision=plan.revision,
        reason=conditions[0].reason,
        message=conditions[0].message,
        attempts=attempts or None,
        running_since=since,
        failure=failure_status(at.component, failure, seen.failed_pods.get(at), more=to_continue(situation)) if failure and at else None,
        disruptions=disruptions,
        plan=plan_status(plan.fit, plan.placement, processes=job.spec.workers.processes),
        progress=posted,
        checkpoint=summarise_checkpoint(progress, seen.past.train, plan, before.checkpoint),
        data=data_status(check, plan) if check else before.data,
        evaluation=evaluation_status(export.evaluation) if export and export.evaluation else before.evaluation,
        artifacts=tuple(artifact_status(artifact, plan) for artifact in export.artifacts) if export else before.artifacts,
        serving=serving_status(past.serve, _read(previous).serving) if job.spec.serving else None,
        warnings=tuple(dict.fromkeys(map(clip, warnings)))[:32],
    )


def summarise_invalid(message: str, *, generation: int, now: datetime, previous: Mapping[str, Any] | None) -> FineTuneJobStatus:
    """Return the status of a job with an invalid specification: nothing happens until it is edited."""
    return _stopped(Reason.INVALID_SPEC.value, message, generation=generation, now=now, previous=previous)


def summarise_rejected(
    reason: str, message: str, *, generation: int, now: datetime, previous: Mapping[str, Any] | None
) -> FineTuneJobStatus:
    """Return the status of a valid job that cannot be planned."""
    return _stopped(reason or Reason.PLAN_REJECTED.value, message, generation=generation, now=now, previous=previous)


def summarise_missing(
    missing: Sequence[Missing], *, generation: int, now: datetime, previous: Mapping[str, Any] | None
) -> FineTuneJobStatus:
    """Return the status of a job that waits for an object it names. The job continues when the object exists."""
    failure = failure_of(missing)
    wanted = [
        make_condition(ConditionType.READY, FALSE, failure.reason, failure.message),
        make_condition(ConditionType.RECONCILING, TRUE, failure.reason, failure.message),
    ]
    return _interrupted(Phase.WAITING, wanted, failure, generation=generation, now=now, previous=previous)


def summarise_refused(
    reason: str,
    message: str,
    *,
    field: str = "",
    generation: int,
    now: datetime,
    previous: Mapping[str, Any] | None,
    present: FineTuneJobStatus | None = None,
) -> FineTuneJobStatus:
    """Return the status of a job of which the API server refuses an object.

    `field`: of that object, if known. `present`: the status without the refusal, if pods of the job run; they continue, and it has their
    phase and progress.
    """
    refusal = refusal_of(reason)
    named = f"{message} (field {field})" if field and field not in message else message
    failure = Failure(reason=reason, message=clip(named), suggestion=refusal.way_out)
    beside_ready = ConditionType.STALLED if refusal.stalled else ConditionType.RECONCILING
    said = explained_failure(failure)
    wanted = [make_condition(ConditionType.READY, FALSE, reason, said), make_condition(beside_ready, TRUE, reason, said)]
    if present is not None:
        return _interrupted(
            present.phase or Phase.WAITING, wanted, failure, generation=generation, now=now, previous=previous, present=present
        )
    phase = Phase.FAILED if refusal.stalled else _read(previous).phase or Phase.WAITING
    return _interrupted(phase, wanted, failure, generation=generation, now=now, previous=previous)


def summarise_forbidden(message: str, *, generation: int, now: datetime, previous: Mapping[str, Any] | None) -> FineTuneJobStatus:
    """Return the status of a job for which the operator lacks a right. Running work continues; the rest follows with the right."""
    return _interrupted_for(Reason.OPERATOR_FORBIDDEN, message, generation=generation, now=now, previous=previous)


def summarise_defect(error: Exception, *, generation: int, now: datetime, previous: Mapping[str, Any] | None) -> FineTuneJobStatus:
    """Return the status of a job on which the operator failed unexpectedly. Running work continues; the rest is retried."""
    message = (
        f"the operator failed on this job: {type(error).__name__}: {one_line(str(error), 300)}. It tries again after a growing pause. "
        "Please report this defect with the operator's log, which holds the traceback."
    )
    return _interrupted_for(Reason.OPERATOR_FAILED, message, generation=generation, now=now, previous=previous)


def _interrupted_for(
    reason: Reason, message: str, *, generation: int, now: datetime, previous: Mapping[str, Any] | None
) -> FineTuneJobStatus:
    wanted = [
        make_condition(ConditionType.READY, FALSE, reason.value, message),
        make_condition(ConditionType.RECONCILING, TRUE, reason.value, message),
    ]
    phase, failure = _read(previous).phase or Phase.WAITING, Failure(reason=reason.value, message=message)
    return _interrupted(phase, wanted, failure, generation=generation, now=now, previous=previous)


def _stopped(reason: str, message: str, *, generation: int, now: datetime, previous: Mapping[str, Any] | None) -> FineTuneJobStatus:
    wanted = [make_condition(ConditionType.READY, FALSE, reason, message), make_condition(ConditionType.STALLED, TRUE, reason, message)]
    return _interrupted(Phase.FAILED, wanted, Failure(reason=reason, message=message), generation=generation, now=now, previous=previous)


def _interrupted(
    phase: str,
    wanted: Sequence[Condition],
    failure: Failure,
    *,
    generation: int,
    now: datetime,
    previous: Mapping[str, Any] | None,
    present: FineTuneJobStatus | None = None,
) -> FineTuneJobStatus:
    """Report why the job does not continue. Stages and results are those of `present`, else the stored ones."""
    before = _read(previous)
    base = present or before
    replaced = {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED}
    kept = [condition for condition in base.conditions if condition.type not in replaced]
    conditions = (*set_conditions(before.conditions, wanted, generation=generation, now=now), *kept)
    return base.model_copy(
        update={
            "conditions": conditions,
            "observed_generation": generation,
            "phase": phase,
            "reason": conditions[0].reason,
            "message": conditions[0].message,
            "failure": failure_status(PLANNING, failure, None),
        }
    )


def _read(previous: Mapping[str, Any] | None) -> FineTuneJobStatus:
    """Read the stored status. An invalid one (of another version, or edited by hand) counts as none."""
    try:
        return FineTuneJobStatus.model_validate(previous or {})
    except ValidationError:
        return FineTuneJobStatus()


def _of_revision(before: FineTuneJobStatus, revision: str) -> FineTuneJobStatus:
    """Drop numbers that belong to other training inputs."""
    return before if before.revision == revision else FineTuneJobStatus()
