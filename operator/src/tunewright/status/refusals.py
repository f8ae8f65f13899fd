"""Writes that the API server refuses or fails: a table of their reasons, which `tunewright_runtime.faults` derives from its answers."""

from collections.abc import Mapping
from typing import NamedTuple


class RefusedWrite(NamedTuple):
    """One reason, and what ends the refusals."""

    way_out: str
    stalled: bool  # only a change of the job or of the cluster's rules helps; otherwise another try can succeed


REFUSALS: Mapping[str, RefusedWrite] = {
    "WebhookFailed": RefusedWrite(
        "Repair the service of the admission webhook that the message names, or delete its configuration; the job then continues.",
        stalled=False,
    ),
    "ServerBusy": RefusedWrite(
        "Nothing to do unless it lasts: the job continues when the API server accepts requests again.", stalled=False
    ),
    "NoAnswer": RefusedWrite(
        "Check the API server's latency and the admission webhooks for this kind; the job continues when a write is answered.",
        stalled=False,
    ),
    "ServerFailed": RefusedWrite("Check the API server's log; the job continues when a write succeeds.", stalled=False),
    "QuotaExceeded": RefusedWrite("Delete objects that the quota counts, or have it raised; the job then continues.", stalled=False),
    "RefusedByPolicy": RefusedWrite(
        "Ask the cluster's administrator to admit this object, or change the field of the job that the message names.", stalled=True
    ),
    "RefusedByCluster": RefusedWrite(
        "Change the field of the job that leads to the value in the message: its name, an annotation, or a setting of the stage.",
        stalled=True,
    ),
    "FieldInvalid": RefusedWrite(
        "Correct this field where the job sets it: spec.check, spec.workers, spec.export and spec.serving have the field of the same name.",
        stalled=True,
    ),
    "PodOutsideLimits": RefusedWrite(
        "Change the field that the message names, or have the LimitRange or the ResourceQuota raised; the job then continues.", stalled=True
    ),
    "TooLarge": RefusedWrite("Shorten the longest texts of the job, such as env, affinity or a chat template.", stalled=True),
}
# Objects that this operator does not write over.
HELD: Mapping[str, RefusedWrite] = {
    "OrphanRuns": RefusedWrite(
        "Wait until that Job has ended, or delete it with `kubectl delete job`; this job then starts.", stalled=False
    ),
    "NameTaken": RefusedWrite("", stalled=True),
}
OTHER = RefusedWrite("", stalled=True)  # a name that is taken, for example: the message has the way out


def refusal_of(reason: str) -> RefusedWrite:
    """Return the row of a reason."""
    return REFUSALS.get(reason) or HELD.get(reason, OTHER)
