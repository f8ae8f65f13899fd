"""A Job with its pods becomes the outcome of a stage, or of one attempt of the gang.

A stage has succeeded when its pods ended with exit code 0 and its own report was read. The report of a pod that is gone cannot be read
again. Then a status that records the stage, or a Job of the next stage, proves that it was read.

An injected container that never ends keeps a pod whose own container has ended. Such a Job gets a record of that end, and is then ended;
`record` is the one to write. A recorded success counts from then on, a recorded failure once the Job has failed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import ValidationError

from tunewright.observe.disruptions import deletion_of, excused, read_deleted
from tunewright.observe.pods import SECONDARY, PodState, read_termination
from tunewright.observe.raw import Raw, condition, number, part, text
from tunewright.observe.reasons import FailureReason
from tunewright.plan import label_names
from tunewright.plan.ending import StageRecord
from tunewright.plan.inputs import StageState
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure, Report, StageReport, dump

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class ExpectedReport:
    """The report that a stage needs to succeed. `recorded`: its report was read earlier, so it is not required when its pod is gone.

    `otherwise`: the way out if the report was never read.
    """

    kind: type[StageReport]
    recorded: bool = False
    otherwise: Disposition = Disposition.FAIL


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """The progress of a Job, and the pod that its failure is read from."""

    state: StageState
    report: StageReport | None = None
    failure: Failure | None = None
    disposition: Disposition | None = None
    failed_pod: PodState | None = None  # the pod that failed
    leaving: bool = False  # the Job is suspended, and its pods have not ended yet
    disrupted: str = ""  # which of its pods was deleted from outside: to be recorded on the Job
    record: StageRecord | None = None  # injected containers keep its pods: end the Job with this record


def read_job(
    job: Raw,
    pods: Sequence[PodState],
    expected: ExpectedReport,
    *,
    gang: bool = False,
    pods_refused: Failure | None = None,
    settled: bool = False,
) -> JobOutcome:
    """Read a Job and its pods. `failed_pod` is the first to fail of a gang, and the last of pods that replace each other.

    `pods_refused`: why it lacks pods; empty if it does not. `settled`: the FineTuneJob is stored as failed. Pods that disappear later, such
    as old ones that the cluster removes, are no disruption then.
    """
    deletion = "" if settled else deletion_of(job, pods, gang=gang)
    seen = [read_deleted(pod, deletion) for pod in pods]
    failed = condition(job, "Failed")
    if text(failed, "reason") == "BackoffLimitExceeded" and not settled and not text(job, "metadata", "annotations", label_names.ENDED):
        if _first_cause(seen) is None and any(not pod.succeeded for pod in seen):  # the Job was read as failed before its pods
            return JobOutcome(state=StageState.RUNNING, disrupted=deletion)
        failure, pod = excused(job, seen, deletion, gang=gang)
        if failure is not None:
            then = Disposition.RESUME
            return JobOutcome(state=StageState.FAILED, failure=failure, disposition=then, failed_pod=pod, disrupted=deletion)
    found = _read(job, seen, expected, gang=gang, pods_refused=pods_refused)
    # The pods of a suspended Job have ended, and their successors are others: a record of them is removed.
    known = deletion or text(job, "metadata", "annotations", label_names.DISRUPTED)
    return replace(found, disrupted="" if found.state is StageState.SUSPENDED else known)


def _read(
    job: Raw, pods: Sequence[PodState], expected: ExpectedReport, *, gang: bool = False, pods_refused: Failure | None = None
) -> JobOutcome:
    failed_pod = _first_cause(pods) if gang else _last_failure(pods)
    record, report = _read_record(job)
    if isinstance(report, expected.kind):
        return JobOutcome(state=StageState.SUCCEEDED, report=report, record=record)
    if condition(job, "Complete"):
        return _done(pods, expected, gang=gang)
    failed = condition(job, "Failed")
    if isinstance(report, Failure):
        return _failing(record, report, ended=bool(failed), pods=pods)
    if _all_succeeded(job, pods):
        return _recorded(_done(pods, expected, gang=gang), pods, gang=gang)
    if failed:
        return _failed(job, failed, failed_pod)
    if failed_pod is not None and failed_pod.kept_by:
        return _failing(_record(failed_pod, failed_pod.failure, failed_pod.disposition), failed_pod.failure, ended=False, pods=pods)
    suspended, busy = part(job, "spec").get("suspend") is True, _busy(job, pods)
    if suspended and condition(job, "Suspended") and not busy:
        return JobOutcome(state=StageState.SUSPENDED)
    running = any(pod.running for pod in pods)
    failing = condition(job, "FailureTarget")  # the others of the gang are still being stopped
    ending = not running or bool(failing)
    blocked = next((pod for pod in pods if pod.failure and pod.disposition is None), failed_pod if ending else None)
    return JobOutcome(
        state=StageState.RUNNING if running else StageState.PENDING,
        failure=blocked.failure if blocked else _removed(failing) or pods_refused,
        failed_pod=blocked,
        leaving=suspended and busy,
    )


def _all_succeeded(job: Raw, pods: Sequence[PodState]) -> bool:
    """Return whether all pods of a Job have succeeded. Its controller records this a second or more later (its syncJobBatchPeriod)."""
    indices = {pod.index for pod in pods if pod.succeeded}
    complete = bool(indices) and len(indices) >= (number(job, "spec", "completions") or 1)
    return complete and not any(text(condition(job, kind), "reason") == "DeadlineExceeded" for kind in ("FailureTarget", "Failed"))


def _read_record(job: Raw) -> tuple[StageRecord | None, Report | None]:
    """Return the record of a Job that was ended because injected containers kept its pods. An invalid one counts as absent."""
    try:
        record = StageRecord.model_validate_json(text(job, "metadata", "annotations", label_names.ENDED))
    except ValidationError:
        return None, None
    return record, read_termination(record.report).report


def _record(pod: PodState, report: Report | None, then: Disposition | None, kept_by: Iterable[str] = ()) -> StageRecord | None:
    return StageRecord(report=dump(report), disposition=then, pod=pod.name, kept_by=tuple(kept_by) or pod.kept_by) if report else None


def _recorded(outcome: JobOutcome, pods: Sequence[PodState], *, gang: bool) -> JobOutcome:
    """Add the record to write, if other containers keep the pods of a stage that is done."""
    kept = dict.fromkeys(name for pod in pods for name in pod.kept_by)
    reporter = _reporter([pod for pod in pods if pod.succeeded and not (gang and pod.index)])
    if not kept or reporter is None:
        return outcome
    return replace(outcome, record=_record(reporter, outcome.report or outcome.failure, outcome.disposition, kept))


def _failing(record: StageRecord | None, failure: Failure | None, *, ended: bool, pods: Sequence[PodState]) -> JobOutcome:
    """Return a recorded failure. It counts when the Job has failed, because its pods write until then."""
    if ended:
        then = record.disposition if record else None
        return JobOutcome(state=StageState.FAILED, failure=failure, disposition=then or Disposition.FAIL, record=record)
    running = any(pod.running for pod in pods)
    return JobOutcome(state=StageState.RUNNING if running else StageState.PENDING, failure=failure, record=record)


def _failed(job: Raw, failed: Raw, failed_pod: PodState | None) -> JobOutcome:
    reason, message = text(failed, "reason"), text(failed, "message")
    if reason == "DeadlineExceeded":  # the pods' own reason is only that they were stopped
        failure = Failure(reason=FailureReason.DEADLINE_EXCEEDED.value, message="it took longer than spec.activeDeadlineSeconds")
        return JobOutcome(state=StageState.FAILED, failure=failure, disposition=Disposition.FAIL)
    # The Job names the rule of podFailurePolicy that applied. An evicted pod may be gone, and the other pods failed only because of it.
    if reason == "PodFailurePolicy" and "DisruptionTarget" in message and (failed_pod is None or failed_pod.weight == SECONDARY):
        failure = Failure(reason=FailureReason.DISRUPTED.value, message=message)
        return JobOutcome(state=StageState.FAILED, failure=failure, disposition=Disposition.RESUME)
    if failed_pod is not None:
        return JobOutcome(state=StageState.FAILED, failure=failed_pod.failure, disposition=failed_pod.disposition, failed_pod=failed_pod)
    if condition(job, "Suspended") and reason != "PodFailurePolicy":  # stopped pods count as failed, and are removed
        failure = Failure(reason=FailureReason.STOPPED.value, message="it was stopped, and its pods are gone")
        return JobOutcome(state=StageState.FAILED, failure=failure, disposition=Disposition.RESUME)
    return JobOutcome(
        state=StageState.FAILED,
        failure=Failure(reason=FailureReason.JOB_FAILED.value, message=message or reason or "its pods are gone, for an unknown reason"),
        disposition=Disposition.FAIL if reason == "PodFailurePolicy" else Disposition.RETRY,
    )


def _removed(failing: Raw) -> Failure | None:
    """Return the disruption of a gang that is being stopped, if the pod that was disrupted is gone, as with its node."""
    why = text(failing, "message")
    if text(failing, "reason") != "PodFailurePolicy" or "DisruptionTarget" not in why:
        return None
    return Failure(reason=FailureReason.DISRUPTED.value, message=f"{why}; the other pods are being stopped")


def _busy(job: Raw, pods: Sequence[PodState]) -> bool:
    """Return whether the Job still has pods: a suspended gang saves before it ends.

    The condition is checked too: without it, the Job controller may be creating pods that it has not counted yet.
    """
    left = any(not pod.succeeded and pod.disposition is None for pod in pods)
    return left or any(number(job, "status", field) for field in ("active", "terminating"))


def _done(pods: Sequence[PodState], expected: ExpectedReport, *, gang: bool) -> JobOutcome:
    """Return the outcome of a finished Job, by the report of rank 0, or of the pod that succeeded."""
    reporters = [pod for pod in pods if pod.succeeded and not (gang and pod.index)]
    reporter = _reporter(reporters, expected.kind)
    if reporter is not None:
        return _proven(reporter, expected)
    if any(not pod.succeeded and pod.disposition is None for pod in pods):  # the Job was read as finished before its pod
        return JobOutcome(state=StageState.RUNNING)
    if expected.recorded:
        return JobOutcome(state=StageState.SUCCEEDED)
    why = "its pod is gone before the operator read its report, so its result is unknown"
    return replace(_unproven(FailureReason.REPORT_MISSING, why), disposition=expected.otherwise)


def _reporter(pods: Sequence[PodState], kind: type[StageReport] = StageReport) -> PodState | None:
    return next((pod for pod in pods if isinstance(pod.report, kind)), pods[-1] if pods else None)


def _proven(reporter: PodState, expected: ExpectedReport) -> JobOutcome:
    report, refused = reporter.termination
    if isinstance(report, expected.kind):
        return JobOutcome(state=StageState.SUCCEEDED, report=report)
    if report is None and not refused:
        return _unproven(
            FailureReason.REPORT_MISSING,
            f"pod {reporter.name} ended with exit code 0 and without a report, so its result is unknown",
            reporter,
        )
    if isinstance(report, Failure):
        refused = f"it reports the failure {report.reason}: {report.message}"
    elif report is not None:
        refused = f"kind: '{report.kind}': this stage reports '{expected.kind.model_fields['kind'].default}'"
    return _unproven(
        FailureReason.REPORT_INVALID, f"pod {reporter.name} ended with exit code 0, but its report is refused: {refused}", reporter
    )


def _unproven(reason: FailureReason, message: str, reporter: PodState | None = None) -> JobOutcome:
    failure = Failure(reason=reason.value, message=message, rank=reporter.index if reporter else None)
    return JobOutcome(state=StageState.FAILED, failure=failure, disposition=Disposition.FAIL, failed_pod=reporter)


def _first_cause(pods: Sequence[PodState]) -> PodState | None:
    """Return the pod that failed first, except those whose failure another pod caused."""
    return min(_failed_pods(pods), key=lambda pod: (pod.weight, pod.ended or _NEVER, pod.index or 0), default=None)


def _last_failure(pods: Sequence[PodState]) -> PodState | None:
    return max(_failed_pods(pods), key=lambda pod: (pod.ended is not None, pod.ended or _NEVER), default=None)


def _failed_pods(pods: Sequence[PodState]) -> list[PodState]:
    return [pod for pod in pods if pod.failure and pod.disposition is not None]
