"""`observe`: all children of a job, sorted by stage and read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tunewright.api.v1alpha1.status import ConditionType
from tunewright.observe.claims import losses
from tunewright.observe.hindrances import Said, said_of_job, said_of_pod, told
from tunewright.observe.jobs import JobOutcome, Proof, read_job
from tunewright.observe.pods import PodState, read_pod
from tunewright.observe.queue import is_held
from tunewright.observe.raw import Raw, label, number, parts, text
from tunewright.observe.scores import recorded_scores
from tunewright.observe.servers import read_server
from tunewright.plan import label_names
from tunewright.plan.inputs import Past, StageOutcome, StageState, TrainOutcome
from tunewright.plan.label_names import Component
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import CheckReport, ExportReport, Report, TrainReport

R = TypeVar("R", bound=Report)
Words = Mapping[str, Said]  # what Events say, by the uid of what they are about


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What happened to a job's present revision, and which pods tell of it."""

    past: Past
    culprits: Mapping[Component, PodState] = field(default_factory=dict)  # stage -> the pod its failure is read from
    leaving: frozenset[Component] = frozenset()  # stages whose Job is suspended, and whose pods have yet to save or end
    warnings: tuple[str, ...] = ()


def observe(children: Sequence[Raw], *, revision: str, status: Raw | None = None) -> Observation:
    """Read a job's children. Those of other revisions are passed over, save the server, which must become this one's.

    `status` is the job's as stored: what it has recorded of a stage counts when the stage's pods are gone.
    """
    present = [child for child in children if label(child, label_names.REVISION) == revision]
    words = told(children)
    jobs = {_attempt(job): job for job in _of(present, Component.TRAIN, "Job")}
    done = _recorded_as_done(status, revision)
    checked = Proof(kind=CheckReport, recorded=bool(jobs) or ConditionType.VALIDATED in done)
    check = _read_stage(present, Component.CHECK, words, checked)
    trained = bool(_of(present, Component.EXPORT, "Job")) or ConditionType.TRAINED in done
    attempts = _read_attempts(jobs, _of(present, Component.TRAIN, "Pod"), words, recorded=trained)
    recorded = text(status, "revision") == revision and bool(parts(status, "artifacts"))
    export = _read_stage(present, Component.EXPORT, words, Proof(kind=ExportReport, recorded=recorded))
    serve, server = read_server(
        next(iter(_of(children, Component.SERVE, "Deployment")), {}),
        next(iter(_of(children, Component.SERVE, "Service")), {}),
        _of(children, Component.SERVE, "Pod"),
        words,
    )
    gang = attempts[max(attempts)] if attempts else JobOutcome(state=StageState.ABSENT)
    outcomes = {Component.CHECK: check, Component.TRAIN: gang, Component.EXPORT: export}
    culprits = {component: job.culprit for component, job in outcomes.items()} | {Component.SERVE: server}
    return Observation(
        past=Past(
            check=_outcome(check, CheckReport),
            train=_train(attempts, jobs),
            export=_outcome(export, ExportReport),
            serve=serve,
            recorded_scores=recorded_scores(status) if recorded else None,
            queued=any(is_held(child) for child in present if child.get("kind") == "Job"),
        ),
        culprits={component: pod for component, pod in culprits.items() if pod is not None},
        leaving=frozenset(component for component, job in outcomes.items() if job.leaving),
        warnings=losses(children),
    )


def has_begun(children: Sequence[Raw]) -> bool:
    """Say whether there is a gang, or has been one."""
    return bool(_of(children, Component.TRAIN, "Job"))


def _read_stage(children: Sequence[Raw], component: Component, words: Words, proof: Proof) -> JobOutcome:
    job = next(iter(_of(children, component, "Job")), None)
    if job is None:
        return JobOutcome(state=StageState.ABSENT)
    return _read_job(job, _of(children, component, "Pod"), words, proof)


def _recorded_as_done(status: Raw | None, revision: str) -> frozenset[str]:
    """Return the conditions that the stored status says are true of this revision."""
    if text(status, "revision") != revision:
        return frozenset()
    return frozenset(text(found, "type") for found in parts(status, "conditions") if found.get("status") == "True")


def _read_attempts(jobs: Mapping[int, Raw], pods: Sequence[Raw], words: Words, *, recorded: bool) -> dict[int, JobOutcome]:
    """Return the attempts whose Jobs exist, by number, the newest last. A report that went unread costs another attempt.

    That one starts from the last checkpoint, which is the end of training, and reports again.
    """
    proof = Proof(kind=TrainReport, recorded=recorded, otherwise=Disposition.RETRY)
    return {
        attempt: _read_job(jobs[attempt], [pod for pod in pods if _attempt(pod) == attempt], words, proof, gang=True)
        for attempt in sorted(jobs)
    }


def _read_job(job: Raw, pods: Sequence[Raw], words: Words, proof: Proof, *, gang: bool = False) -> JobOutcome:
    states = [said_of_pod(read_pod(pod), pod, words) for pod in pods]
    return read_job(job, states, proof, gang=gang, said=said_of_job(job, pods, words))


def _train(attempts: Mapping[int, JobOutcome], jobs: Mapping[int, Raw]) -> TrainOutcome:
    """Sum up the attempts. The number of one whose Job somebody deleted stays taken."""
    if not attempts:
        return TrainOutcome()
    newest = max(attempts)
    outcome = _outcome(attempts[newest], TrainReport)
    first = jobs[min(jobs)]
    return TrainOutcome(
        state=outcome.state,
        report=outcome.report,
        failure=outcome.failure,
        disposition=outcome.disposition,
        attempts=newest + 1,
        running_since=attempts[newest].running_since,
        counted_failures=sum(attempt.disposition is Disposition.RETRY for attempt in attempts.values()),
        before=next((attempts[number].failure for number in sorted(attempts, reverse=True)[1:]), None),
        replicas=number(jobs[newest], "spec", "completions"),
        global_batch_size=number(first, "metadata", "annotations", label_names.GLOBAL_BATCH_SIZE),
        zero_stage=number(first, "metadata", "annotations", label_names.ZERO_STAGE),
    )


def _outcome(job: JobOutcome, kind: type[R]) -> StageOutcome[R]:
    report = job.report if isinstance(job.report, kind) else None
    return StageOutcome(state=job.state, report=report, failure=job.failure, disposition=job.disposition)


def _of(children: Sequence[Raw], component: Component, kind: str) -> list[Raw]:
    found = [child for child in children if child.get("kind") == kind and label(child, label_names.COMPONENT) == component]
    return sorted(found, key=lambda child: text(child, "metadata", "name"))


def _attempt(child: Raw) -> int:
    return number(child, "metadata", "labels", label_names.ATTEMPT) or 0
