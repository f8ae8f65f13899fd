"""Reads one pod: whether it runs, how it ended, and its report.

A pod's termination message is untrusted input, because any image can write it. A message that is not a report within its bounds counts as
none, with a reason that names field and value. Never raises.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from signal import Signals
from typing import NamedTuple

from tunewright.api.v1alpha1.status import Reason as StatusReason
from tunewright.observe.raw import Raw, condition, moment, number, part, parts, text
from tunewright.observe.reasons import WAITING, FailureReason
from tunewright.plan import label_names
from tunewright_contract.exit_codes import Disposition, ExitCode, disposition
from tunewright_contract.reports import Failure, InvalidReportError, Report, StageReport, load

# Reasons of status itself. A failure with such a name would look like a state of the job: Ready=False, reason Complete.
RESERVED = frozenset(reason.value for reason in StatusReason)


class TerminationMessage(NamedTuple):
    """A container's termination message."""

    report: Report | None = None
    refused: str = ""  # why a message that looks like a report is refused; empty for a valid report, the end of a log, or no message


NO_MESSAGE = TerminationMessage()


def read_termination(message: str) -> TerminationMessage:
    """Read a termination message."""
    if not message:
        return NO_MESSAGE
    try:
        report = load(message)
    except InvalidReportError as error:
        # If the container wrote no message, the kubelet uses the end of its log. That is not a report.
        return TerminationMessage(refused=str(error) if message.lstrip().startswith("{") else "")
    if isinstance(report, Failure) and report.reason in RESERVED:
        return TerminationMessage(refused=f"reason: '{report.reason}': this reason is reserved for the operator")
    return TerminationMessage(report)


_LAST_WORDS = 300  # characters of a log's end that a failure quotes
SECONDARY = 2  # the weight of a failure that another rank caused
# Reasons of a pod whose node shut down or started again. At its start, a kubelet admits the pods that it finds once more.
_REJECTED = ("NodeAffinity", "UnexpectedAdmissionError")
_SHUT_DOWN = ("Terminated", "NodeShutdown", "Shutdown", *_REJECTED)
# Of a container whose end was not seen, with its exit code: from the kubelet, and from containerd after a reboot.
_UNSEEN = (("ContainerStatusUnknown", 137), ("Unknown", 255))
_SECONDARY_REASONS = {"PeerLost", "RendezvousFailed", FailureReason.STOPPED}


@dataclass(frozen=True, kw_only=True)
class PodState:
    """The state of one pod."""

    name: str
    index: int | None = None  # completion index, the node's rank in the gang
    running: bool = False
    succeeded: bool = False
    ended: datetime | None = None
    exit_code: int | None = None
    termination: TerminationMessage = NO_MESSAGE
    failure: Failure | None = None  # why it failed, or makes no progress
    disposition: Disposition | None = None  # None while it may still succeed
    kept_by: tuple[str, ...] = ()  # containers that still run, although the stage's own one has ended
    deleted: bool = False  # it is being deleted
    rejected: bool = False  # its kubelet refused it, so none of its containers ran
    weight: int = 0  # rank of its failure in its gang: 0 has a cause, 1 only an exit code; or SECONDARY

    @property
    def report(self) -> Report | None:
        """Return the termination message if it is a report."""
        return self.termination.report


def read_pod(raw: Raw) -> PodState:
    """Read one pod."""
    container = _container(raw)
    terminated = part(container, "state", "terminated")
    code, termination = number(terminated, "exitCode"), read_termination(text(terminated, "message"))
    # A pod whose own container has ended well fails if an injected one fails, and the stage is done nevertheless.
    done = code == 0 and (text(raw, "status", "phase") != "Failed" or isinstance(termination.report, StageReport))
    failed = bool(code) or (text(raw, "status", "phase") == "Failed" and not done)
    state = PodState(
        name=text(raw, "metadata", "name"),
        index=_index(raw),
        kept_by=_others_alive(raw, container) if terminated else (),
        running=bool(part(container, "state", "running")) and not failed,
        deleted=bool(text(raw, "metadata", "deletionTimestamp")),
        rejected=text(raw, "status", "reason") in _REJECTED,
        succeeded=done or text(raw, "status", "phase") == "Succeeded",
        ended=moment(terminated, "finishedAt"),
        exit_code=code,
        termination=termination,
    )
    return _ended(raw, state, terminated) if failed else _under_way(raw, state, container)


def last_end(raw: Raw) -> PodState | None:
    """Return how a pod's container ended last, even if it has restarted since; None if it never ended."""
    container = _container(raw)
    terminated = part(container, "state", "terminated") or part(container, "lastState", "terminated")
    code = number(terminated, "exitCode")
    if not code:
        return None
    state = PodState(name=text(raw, "metadata", "name"), exit_code=code, termination=read_termination(text(terminated, "message")))
    return _ended(raw, state, terminated)


def _ended(raw: Raw, state: PodState, terminated: Raw) -> PodState:
    asks = Disposition.RETRY if state.exit_code is None else disposition(state.exit_code)
    why = _disruption(raw, terminated)
    if why and asks is not Disposition.FAIL:
        return _because(state, FailureReason.DISRUPTED, f"pod {state.name} was disrupted: {why}", then=Disposition.RESUME)
    if isinstance(state.report, Failure):
        weight = SECONDARY if state.report.reason in _SECONDARY_REASONS else 0
        rank = state.index if state.report.rank is None else state.report.rank
        return _with(state, state.report.model_copy(update={"rank": rank}), then=asks, weight=weight)
    if text(terminated, "reason") == "OOMKilled":
        return _because(state, FailureReason.OUT_OF_MEMORY, f"pod {state.name} used more memory than its limit and was killed", then=asks)
    if state.exit_code is None or text(raw, "status", "reason") == "Evicted":
        reason = FailureReason.EVICTED if text(raw, "status", "reason") == "Evicted" else FailureReason.PROCESS_FAILED
        why = text(raw, "status", "message") or text(raw, "status", "reason") or "none of its containers reported a state"
        return _because(state, reason, f"pod {state.name} failed: {why}", then=Disposition.RETRY)
    return _without_report(state, terminated, asks)


def _disruption(raw: Raw, terminated: Raw) -> str:
    """Return why the cluster or the node ended a pod; empty if it ended by itself."""
    if disrupted := condition(raw, "DisruptionTarget"):
        return text(disrupted, "message") or text(disrupted, "reason") or "its node was needed for other pods"
    reason, unseen = text(raw, "status", "reason"), (text(terminated, "reason"), number(terminated, "exitCode"))
    if reason in _SHUT_DOWN:
        return text(raw, "status", "message") or f"its node shut down or started again ({reason})"
    return f"its node started again or lost the container ({unseen[0]})" if unseen in _UNSEEN else ""


def _without_report(state: PodState, terminated: Raw, asks: Disposition) -> PodState:
    refused = state.termination.refused or ("it reports success" if state.report is not None else "")
    if refused:
        message = f"pod {state.name} ended with {_name_of_code(state.exit_code or 0)}, and its report is refused: {refused}"
        return _because(state, FailureReason.REPORT_INVALID, message, then=asks, weight=1)
    words = text(terminated, "message").strip()[-_LAST_WORDS:]
    said = f"; its last output: {words}" if words else ""
    message = f"pod {state.name} ended with {_name_of_code(state.exit_code or 0)}{said}"
    if state.exit_code == ExitCode.OUT_OF_MEMORY:  # for the container's own limit the kubelet reports OOMKilled
        guess = "a process killed it, it exceeded its grace period, or the whole node ran out of memory"
        return _because(state, FailureReason.PROCESS_FAILED, f"{message}: {guess}", then=asks, weight=1)
    if state.exit_code == ExitCode.STOPPED:
        return _because(state, FailureReason.STOPPED, message, then=asks, weight=SECONDARY)
    return _because(state, FailureReason.PROCESS_FAILED, message, then=asks, weight=1)


def _under_way(raw: Raw, state: PodState, container: Raw) -> PodState:
    waiting = part(container, "state", "waiting")
    reason = WAITING.get(text(waiting, "reason"))
    if reason is not None:
        before = part(container, "lastState", "terminated")
        said = read_termination(text(before, "message")).report
        if isinstance(said, Failure):
            return _with(state, said)
        why = text(waiting, "message") or text(before, "message").strip()[-_LAST_WORDS:] or "no reason was given"
        return _because(state, reason, f"pod {state.name}: {why}")
    for found in parts(raw, "status", "conditions"):
        if found.get("type") == "PodScheduled" and found.get("reason") == "Unschedulable":
            why = text(found, "message")
            unbound = "persistentvolumeclaim" in why.lower()
            return _because(
                state,
                FailureReason.VOLUME_UNBOUND if unbound else FailureReason.UNSCHEDULABLE,
                f"pod {state.name} cannot be scheduled: {why}",
            )
    return state


def _because(state: PodState, reason: FailureReason, message: str, *, then: Disposition | None = None, weight: int = 0) -> PodState:
    return _with(state, Failure(reason=reason.value, message=message, rank=state.index), then=then, weight=weight)


def _with(state: PodState, failure: Failure, *, then: Disposition | None = None, weight: int = 0) -> PodState:
    return replace(state, failure=failure, disposition=then, weight=weight)


def _container(raw: Raw) -> Raw:
    """Return the status of the stage's container: webhooks may have added others."""
    statuses = parts(raw, "status", "containerStatuses")
    ours = text(raw, "metadata", "labels", label_names.COMPONENT)
    return next((status for status in statuses if status.get("name") == ours), statuses[0] if statuses else {})


def _others_alive(raw: Raw, own: Raw) -> tuple[str, ...]:
    """Return the other containers that keep a pod. The kubelet ends native sidecars itself, and a pod that is being deleted ends anyway."""
    if text(raw, "status", "phase") in ("Succeeded", "Failed") or text(raw, "metadata", "deletionTimestamp"):
        return ()
    others = [status for status in parts(raw, "status", "containerStatuses") if status is not own]
    return tuple(text(status, "name") for status in others if not part(status, "state", "terminated"))


def _index(raw: Raw) -> int | None:
    index = number(raw, "metadata", "annotations", label_names.COMPLETION_INDEX)
    return index if index is not None and index >= 0 else None


def _name_of_code(code: int) -> str:
    """Return an exit code with the signal it stands for, by the shell's rule of 128 + signal."""
    names = {signal.value: signal.name for signal in Signals}
    return f"exit code {code} ({names[code - 128]})" if code - 128 in names else f"exit code {code}"
