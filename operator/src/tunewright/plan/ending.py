"""Ends a Job whose own containers have ended while an injected container keeps its pods.

The record is written to the Job in the same patch that ends it: the pods, with the reports in them, disappear afterwards.
"""

from dataclasses import dataclass

from tunewright_contract.base import Message
from tunewright_contract.exit_codes import Disposition

AT_ONCE = 1  # activeDeadlineSeconds: the Job controller then fails the Job and deletes its pods


class StageRecord(Message):
    """The end of a stage's own containers, as an annotation of its Job."""

    report: str  # a report of tunewright_contract.reports: the stage's own, or a failure
    disposition: Disposition | None = None  # of a failure
    pod: str
    kept_by: tuple[str, ...] = ()  # the containers that kept the pod

    @property
    def succeeded(self) -> bool:
        """Return whether the stage's own containers ended with success."""
        return self.disposition is None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How to end a Job. Suspension deletes its pods and leaves no failed Job.

    A suspended Job would be started again by Kueue, and a suspended gang would not count as failed: these get a deadline instead.
    """

    record: StageRecord
    suspend: bool


def ending_of(record: StageRecord | None, *, queued: bool) -> Ending | None:
    """Return how to end the Job with this record. `queued`: Kueue decides when the Job starts."""
    return None if record is None else Ending(record=record, suspend=record.succeeded and not queued)
