"""Counts how often a stage was disrupted. The count is for people: no decision reads it, and a lost one begins again.

A disruption repeats a stage without a limit: nodes that can be reclaimed at any time disrupt a long training often. So status shows it.
"""

from collections.abc import Iterator, Mapping

from tunewright.api.v1alpha1.status import DisruptionsStatus
from tunewright.status.situation import Situation
from tunewright_contract.stages import Stage

OFTEN = 3  # from here on, a warning


def count_disruptions(situation: Situation, jobs: Mapping[Stage, str], before: DisruptionsStatus | None) -> DisruptionsStatus | None:
    """Return the count of the present stage. Each of the disrupted `jobs` (stage -> uid) counts once."""
    if situation.at is None:
        return None
    known = before if before is not None and before.stage == situation.at.component else None
    job = jobs.get(situation.at, "")
    if not job or (known is not None and known.last_job == job):
        return known
    return DisruptionsStatus(stage=situation.at.component, count=(known.count if known else 0) + 1, last_job=job)


def often_disrupted(situation: Situation, found: DisruptionsStatus | None) -> Iterator[str]:
    """Yield a warning for a stage that is disrupted again and again."""
    if found is not None and situation.at is not None and found.count >= OFTEN:
        way_out = "set spec.suspend to true until they stop" if situation.at.suspendable else "find what deletes its pods"
        yield f"{situation.at.name} was disrupted {found.count} times, and runs again each time without a limit; {way_out}"
