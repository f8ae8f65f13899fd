"""Reads a pod's termination message as untrusted input, because any image can write it.

Promises: a message that is not a report within its bounds counts as none, with a reason that names field and value. Never raises.
"""

from typing import NamedTuple

from tunewright.api.v1alpha1.status import Reason as StatusReason
from tunewright_contract.reports import Failure, InvalidReportError, Report, load

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
