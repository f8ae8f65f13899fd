"""`observe` sorts all children of a job by stage and reads them.

`read_published` finds the published model of a job, for another job that serves it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from tunewright.api.admission import admit
from tunewright.api.problems import InvalidJob
from tunewright.observe.events import PodProblem, problem_of_job, read_events
from tunewright.observe.explained_pods import read_explained
from tunewright.observe.jobs import ExpectedReport, JobOutcome, read_job
from tunewright.observe.other_controllers import is_held
from tunewright.observe.pods import PodState
from tunewright.observe.raw import Raw, label, number, part, parts, text
from tunewright.observe.reasons import FailureReason
from tunewright.observe.scores import recorded_scores
from tunewright.observe.servers import read_server
from tunewright.observe.volumes import claim_sizes, claim_warnings
from tunewright.plan import label_names
from tunewright.plan.inputs import Missing, Past, StageOutcome, StageState, TrainOutcome
from tunewright.plan.names import names_of, revision_of
from tunewright.plan.placement import SERVED_MODEL
from tunewright.plan.regression import regression_of
from tunewright.plan.rollout import PublishedModel
from tunewright.plan.storage import published_to
from tunewright_contract import stages
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import TrainReport
from tunewright_contract.stages import Shape, Stage, followers, of_shape


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The state of a job's present revision, and the pods it was read from."""

    past: Past
    failed_pods: Mapping[Stage, PodState] = field(default_factory=dict)  # the pod that a stage's failure is read from
    leaving: frozenset[Stage] = frozenset()  # stages whose Job is suspended, and whose pods have not ended yet
    warnings: tuple[str, ...] = ()

    @property
    def disrupted(self) -> Mapping[Stage, str]:
        """Return the newest Jobs (stage -> uid) that a disruption ended, and that others follow."""
        return {
            stage: outcome.job_uid
            for stage, outcome in self.past.outcomes.items()
            if outcome.failure and outcome.failure.reason == FailureReason.DISRUPTED and outcome.disposition is Disposition.RESUME
        }


@dataclass(frozen=True, kw_only=True)
class _Children:
    """A job's children and its stored status."""

    everything: Sequence[Raw]
    present: Sequence[Raw]  # of this revision
    problems: Mapping[str, PodProblem]  # problems that Events report, by the uid of the object
    recorded: Raw | None  # the stored status, if it belongs to this revision
    now: datetime | None

    @property
    def has_failed(self) -> bool:
        """Return whether the job is stored as failed."""
        return text(self.recorded, "phase") == "Failed"


@dataclass(frozen=True, kw_only=True)
class _StageReading:
    """The outcome of one stage, read from its children."""

    outcome: StageOutcome[Any]
    failed_pod: PodState | None = None
    leaving: bool = False


def observe(children: Sequence[Raw], *, revision: str, status: Raw | None = None, now: datetime | None = None) -> Observation:
    """Read a job's children. Those of other revisions are ignored, except the server, which is updated to this one.

    `status` is the job's stored one: its record of a stage counts when the stage's pods are gone. `now` has a time zone.
    """
    there = _Children(
        everything=children,
        present=[child for child in children if label(child, label_names.REVISION) == revision],
        problems=read_events(children),
        recorded=status if text(status, "revision") == revision else None,
        now=now,
    )
    readers = {Shape.POD: _read_pod_stage, Shape.GANG: _read_gang, Shape.SERVER: _read_servers}
    found = {stage: readers[stage.shape](stage, there) for stage in stages.STAGES}
    nothing = Past()
    return Observation(
        past=Past(
            outcomes={stage: reading.outcome for stage, reading in found.items() if reading.outcome != nothing[stage]},
            made_from=_other_inputs(children, revision),
            recorded_scores=recorded_scores(there.recorded) if parts(there.recorded, "artifacts") else None,
            claim_sizes=claim_sizes(children),
            queued=any(is_held(child) for child in there.present if child.get("kind") == "Job"),
        ),
        failed_pods={stage: reading.failed_pod for stage, reading in found.items() if reading.failed_pod is not None},
        leaving=frozenset(stage for stage, reading in found.items() if reading.leaving),
        warnings=(*claim_warnings(children), *_kept(found)),
    )


def _other_inputs(children: Sequence[Raw], revision: str) -> str:
    """Return the revision of Jobs that were made before the job's inputs changed."""
    jobs = (label(child, label_names.REVISION) for child in children if child.get("kind") == "Job")
    return next((made for made in jobs if made and made != revision), "")


def has_begun(children: Sequence[Raw]) -> bool:
    """Return whether a gang exists or has existed."""
    return any(_of(children, stage, "Job") or _begun_with(children, stage) for stage in of_shape(Shape.GANG))


def _read_pod_stage(stage: Stage, there: _Children) -> _StageReading:
    job = next(iter(_of(there.present, stage, "Job")), None)
    if job is None:
        return _StageReading(outcome=StageOutcome())
    expected = ExpectedReport(kind=stage.report, recorded=_is_recorded(stage, there))
    found = _read_job(job, _of(there.present, stage, "Pod"), there, expected)
    return _StageReading(outcome=_outcome(found, job), failed_pod=found.failed_pod, leaving=found.leaving)


def _read_gang(stage: Stage, there: _Children) -> _StageReading:
    """Read the attempts. If a report was never read, another attempt is needed.

    That attempt starts from the last checkpoint, which is the end of training, and reports again.
    """
    jobs = {_attempt(job): job for job in _of(there.present, stage, "Job")}
    if not jobs:
        return _StageReading(outcome=replace(TrainOutcome(), **_begun_with(there.present, stage)))
    pods = _of(there.present, stage, "Pod")
    expected = ExpectedReport(kind=stage.report, recorded=_is_recorded(stage, there), otherwise=Disposition.RETRY)
    attempts = {
        number: _read_job(jobs[number], [pod for pod in pods if _attempt(pod) == number], there, expected, gang=True)
        for number in sorted(jobs)
    }
    newest = attempts[max(attempts)]
    return _StageReading(outcome=_train(attempts, jobs), failed_pod=newest.failed_pod, leaving=newest.leaving)


def _read_servers(stage: Stage, there: _Children) -> _StageReading:
    deployment, service = (next(iter(_of(there.everything, stage, kind)), {}) for kind in ("Deployment", "Service"))
    outcome, failed_pod = read_server(
        deployment, service, _of(there.everything, stage, "Pod"), there.problems, now=there.now, recorded=there.recorded
    )
    return _StageReading(outcome=outcome, failed_pod=failed_pod)


def _is_recorded(stage: Stage, there: _Children) -> bool:
    """Return whether a stage's report was read: a Job of a later stage exists, or the stored status records it."""
    if stage.publishes:  # a model that is worse than its base is listed, although its stage has failed
        return bool(parts(there.recorded, "artifacts"))
    true = {text(found, "type") for found in parts(there.recorded, "conditions") if found.get("status") == "True"}
    return stage.condition in true or any(_of(there.present, follower, "Job") for follower in followers(stage))


def _read_job(job: Raw, pods: Sequence[Raw], there: _Children, expected: ExpectedReport, *, gang: bool = False) -> JobOutcome:
    states = [read_explained(pod, there.problems, there.now) for pod in pods]
    return read_job(job, states, expected, gang=gang, pods_refused=problem_of_job(job, pods, there.problems), settled=there.has_failed)


def _train(attempts: Mapping[int, JobOutcome], jobs: Mapping[int, Raw]) -> TrainOutcome:
    """Combine the attempts. The number of an attempt whose Job was deleted by hand is not used again."""
    newest = max(attempts)
    outcome = attempts[newest]
    first = jobs[min(jobs)]
    return TrainOutcome(
        state=outcome.state,
        report=cast("TrainReport | None", outcome.report),
        failure=outcome.failure,
        disposition=_disposition(attempts),
        attempts=newest + 1,
        record=outcome.record,
        disrupted=outcome.disrupted,
        job_uid=text(jobs[newest], "metadata", "uid"),
        settings=_annotation(jobs[newest], label_names.POD_SETTINGS),
        retry=_annotation(jobs[newest], label_names.RETRY),
        counted_failures=_counted(attempts, jobs[newest]),
        before=next((attempts[number].failure for number in sorted(attempts, reverse=True)[1:]), None),
        replicas=number(jobs[newest], "spec", "completions"),
        resources=_resources(jobs[newest]),
        global_batch_size=number(first, "metadata", "annotations", label_names.GLOBAL_BATCH_SIZE),
        zero_stage=number(first, "metadata", "annotations", label_names.ZERO_STAGE),
    )


def _disposition(attempts: Mapping[int, JobOutcome]) -> Disposition | None:
    """Return what follows from the newest attempt. A kubelet that refuses pods twice in a row is a failure: it can refuse them forever."""
    newest = attempts[max(attempts)]
    last = [attempts[number].failed_pod for number in sorted(attempts)[-2:]]
    again = len(last) > 1 and all(pod is not None and pod.rejected for pod in last)
    return Disposition.RETRY if again and newest.disposition is Disposition.RESUME else newest.disposition


def _counted(attempts: Mapping[int, JobOutcome], newest: Raw) -> int:
    """Return the failures that count against backoffLimit. A Job of an earlier release has no record of those before it."""
    before = number(newest, "metadata", "annotations", label_names.FAILURES)
    if before is None:
        return sum(attempt.disposition is Disposition.RETRY for attempt in attempts.values())
    return before + (_disposition(attempts) is Disposition.RETRY)


def _begun_with(children: Sequence[Raw], stage: Stage) -> dict[str, Any]:
    """Return the global batch and the ZeRO stage of a gang whose Jobs are gone, from its Service; empty if there is none."""
    names = {"global_batch_size": label_names.GLOBAL_BATCH_SIZE, "zero_stage": label_names.ZERO_STAGE}
    service = next(iter(_of(children, stage, "Service")), {})
    found = {field: number(service, "metadata", "annotations", name) for field, name in names.items()}
    return {field: value for field, value in found.items() if value is not None}


def _resources(job: Raw) -> dict[str, dict[str, str]]:
    """Return limits and requests of the container of a Job's pods."""
    container = next(iter(parts(job, "spec", "template", "spec", "containers")), {})
    found = {kind: part(container, "resources", kind) for kind in ("limits", "requests")}
    return {kind: {name: str(value) for name, value in amounts.items()} for kind, amounts in found.items() if amounts}


def _annotation(job: Raw, name: str) -> str:
    return text(job, "metadata", "annotations", name)


def _outcome(found: JobOutcome, job: Raw) -> StageOutcome[Any]:
    return StageOutcome(
        state=found.state,
        report=found.report,
        failure=found.failure,
        disposition=found.disposition,
        record=found.record,
        disrupted=found.disrupted,
        job_uid=text(job, "metadata", "uid"),
        settings=_annotation(job, label_names.POD_SETTINGS),
        retry=_annotation(job, label_names.RETRY),
    )


def _kept(found: Mapping[Stage, _StageReading]) -> Iterator[str]:
    """Yield a warning for each stage whose pods were kept by injected containers."""
    for stage, reading in found.items():
        record = reading.outcome.record
        if record is not None:
            yield (
                f"{stage.name}: container {', '.join(record.kept_by)} still ran in pod {record.pod} after the stage's own container had "
                "ended, so the Job is ended; inject it as a native sidecar (an init container that is always restarted), or not at all"
            )


def _of(children: Sequence[Raw], stage: Stage, kind: str) -> list[Raw]:
    found = [child for child in children if child.get("kind") == kind and label(child, label_names.COMPONENT) == stage.component]
    return sorted(found, key=lambda child: text(child, "metadata", "name"))


def _attempt(child: Raw) -> int:
    return number(child, "metadata", "labels", label_names.ATTEMPT) or 0


def read_published(name: str, raw: Raw | None, children: Sequence[Raw]) -> PublishedModel | Missing:
    """Return the location of this FineTuneJob's model, or why there is none. `raw` is the job, or None if it does not exist."""
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        return _missing(name, "there is no such job; create it, or name another")
    try:
        job = admit(raw, begun=has_begun(children))
    except InvalidJob:
        return _missing(name, "it is invalid, see its status; correct it, or name another")
    revision = revision_of(job)
    past = observe(children, revision=revision, status=raw.get("status")).past
    if past.export.state is not StageState.SUCCEEDED:
        return _missing(name, "it has not exported its model yet; the present server continues until then")
    found = regression_of(job, past)
    if found is not None and not found.allowed:
        way_out = "set evaluation.allowRegression: true on that job to serve it anyway, or name another"
        return _missing(name, f"{found.figures}; the present server continues; {way_out}")
    claim, path = published_to(job, names_of(name).output)
    return PublishedModel(job=name, revision=revision, claim=claim, path=path)


def _missing(name: str, why: str) -> Missing:
    return Missing(field=SERVED_MODEL, kind="FineTuneJob", name=name, message=why)
