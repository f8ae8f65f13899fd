"""Decides which stages run now: each row of the stage table after its predecessor has succeeded.

The number of servers is set by the job, or by an autoscaler of the Deployment. The plan then has the number it finds.
"""

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.serving import ServingSpec
from tunewright.plan.again import retry_of, wanted_of
from tunewright.plan.ending import ending_of
from tunewright.plan.inputs import Missing, Past, References, ServeOutcome, StageState, TrainOutcome
from tunewright.plan.label_names import is_queued
from tunewright.plan.placement import SERVED_MODEL
from tunewright.plan.plan_types import PodPlan, SecretKey, ServePlan, StagePlan, TrainPlan
from tunewright.plan.pods import pod_resources, with_scratch
from tunewright.plan.resize import Shares, is_resized
from tunewright.plan.rollout import PublishedModel, Rollout
from tunewright_contract import stages
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.smoke_test import SmokeTest
from tunewright_contract.stages import Shape, Stage


def is_handed_over(serving: ServingSpec, live: ServeOutcome) -> bool:
    """Return whether an autoscaler of the Deployment sets the number: the job states it, or the Deployment shows it."""
    return serving.autoscaling is not None or bool(live.scaler)


def servers_of(serving: ServingSpec, live: ServeOutcome) -> int:
    """Return the number of servers to render. The job's own number is also the one that an autoscaler starts from."""
    return live.replicas if live.replicas is not None and is_handed_over(serving, live) else serving.replicas


def wanted_stages(
    job: FineTuneJob, past: Past, shares: Shares, model: PublishedModel | Missing | None, *, refused: bool = False
) -> dict[Stage, StagePlan]:
    """Plan each stage whose predecessor has succeeded.

    `model` is the model to serve; None: no server. `refused`: the job has a change that is refused, so no waiting Job is replaced.
    """
    plans: dict[Stage, StagePlan | None] = {}
    for stage in stages.STAGES:
        if stage.predecessor is None or past[stage.predecessor].state is StageState.SUCCEEDED:
            match stage.shape:
                case Shape.POD:
                    plans[stage] = _pod(stage, job, past, refused=refused)
                case Shape.GANG:
                    plans[stage] = _gang(stage, job, past, shares, refused=refused)
                case _:  # a server
                    plans[stage] = _server(job, past, model)
    return {stage: plan for stage, plan in plans.items() if plan is not None}


def _pod(stage: Stage, job: FineTuneJob, past: Past, *, refused: bool) -> PodPlan:
    report = past.check.report
    own = job.spec.pod_settings(stage).resources
    resources = pod_resources(stage.resources, own, job.spec.workers.resources, report.model if report else None)
    wanted = wanted_of(job, stage)
    return PodPlan(
        resources=resources,
        backoff_limit=stage.retries,
        ending=ending_of(past[stage].record, queued=_is_held(job, past)),
        disrupted=past[stage].disrupted,
        settings=wanted.settings,
        retry=wanted.retry,
        replaces=wanted.runs_again(past[stage]) and not refused,
    )


def _gang(stage: Stage, job: FineTuneJob, past: Past, shares: Shares, *, refused: bool) -> TrainPlan:
    workers, begun = job.spec.workers, past.train
    ending = ending_of(begun.record, queued=_is_held(job, past))
    resized = is_resized(job.spec, begun)
    wanted = wanted_of(job, stage)
    repeated = wanted.repeats(begun) and not refused
    attempt = attempt_of(begun, backoff_limit=job.spec.backoff_limit, resized=resized, repeated=repeated)
    return TrainPlan(
        attempt=attempt,
        replicas=workers.replicas,
        processes_per_replica=workers.processes,
        resources=with_scratch(workers.resources),
        global_batch_size=shares.global_batch_size,
        counted_failures=0 if repeated else begun.counted_failures,
        settings=wanted.settings,
        retry=wanted.retry,
        replaces=wanted.replaces(begun) and not resized and not refused,
        stopping=resized and attempt < begun.attempts,
        ending=(begun.attempts - 1, ending) if ending else None,
        disrupted=(begun.attempts - 1, begun.disrupted) if begun.disrupted else None,
    )


def _is_held(job: FineTuneJob, past: Past) -> bool:
    return past.queued or is_queued(job.metadata.labels)


def attempt_of(train: TrainOutcome, *, backoff_limit: int, resized: bool = False, repeated: bool = False) -> int:
    """Return the number of the last attempt to render, counted from 0.

    After a gang that stopped and saved, a new attempt follows, which does not count. A failure that a retry can fix is followed by at most
    `backoff_limit` retries, a permanent failure by none. A gang of another size than the job's is followed by one of the right size as soon
    as it has ended, whatever its outcome. `repeated`: the user has changed its pod settings, or requests a retry.
    """
    if train.attempts == 0:
        return 0
    if resized:
        return train.attempts if train.state in {StageState.FAILED, StageState.SUSPENDED} else train.attempts - 1
    again = train.state is StageState.FAILED and (
        repeated
        or train.disposition is Disposition.RESUME
        or (train.disposition is Disposition.RETRY and train.counted_failures <= backoff_limit)
    )
    return train.attempts if again else train.attempts - 1


def served_model(refs: References, own: PublishedModel, rollout: Rollout) -> PublishedModel | Missing:
    """Return the model to serve: the job's own, or that of the job it names (`serving.modelRef`).

    If that job is gone, or was created again, its served model continues.
    """
    if isinstance(refs.served, PublishedModel) and set(refs.served.access_modes) == {"ReadWriteOncePod"}:
        message = "it is ReadWriteOncePod, and a server and its replacement mount it; publish to a claim with ReadWriteMany"
        return Missing(field=SERVED_MODEL, kind="PersistentVolumeClaim", name=refs.served.claim, message=message)
    answering = rollout.live.model if rollout.live else None
    if isinstance(refs.served, Missing) and answering is not None and answering.job == refs.served.name:
        return answering
    return refs.served or own


def _server(job: FineTuneJob, past: Past, model: PublishedModel | Missing | None) -> ServePlan | None:
    serving = job.spec.serving
    if serving is None or model is None:
        return None
    return ServePlan(
        replicas=servers_of(serving, past.serve),
        model=model,
        model_name=job.served_model_name(),
        resources=with_scratch(serving.resources),
        execution_providers=tuple(serving.execution_providers),
        max_slots=serving.max_concurrent_requests,
        max_length=serving.max_model_len,
        api_key=SecretKey(name=key.name, key=key.key) if (key := serving.api_key_secret_ref) else None,
        smoke_test=SmokeTest(**serving.smoke_test.model_dump()) if serving.smoke_test else None,
        progress_deadline_seconds=serving.progress_deadline_seconds,
        drain_seconds=serving.drain_seconds,
        retry=retry_of(job),
        scaled_by_others=bool(past.serve.scaler),
        rollout=past.serve.rollout,
    )
