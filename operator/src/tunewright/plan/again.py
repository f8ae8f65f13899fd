"""Decides when a stage runs again: after changed pod settings, after a retry that the user requests, after a disruption.

The pod settings of a stage are the user's own values, without the operator's defaults, so that an upgrade of the operator replaces nothing.
Each Job records a digest of its settings, and the retry that it was made for. A Job without them, of an earlier release, counts as equal.

A Job is replaced only while none of its containers runs: it waits, is suspended, or has failed. A gang that failed is followed by its next
attempt, which is another Job.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob, FineTuneJobSpec
from tunewright.plan.inputs import StageOutcome, StageState
from tunewright.plan.label_names import RETRY
from tunewright.plan.pods import options_of
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.quantities import amount
from tunewright_contract.stages import Stage

_DIGITS = 10
_WAITS = frozenset({StageState.PENDING, StageState.SUSPENDED})


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the Jobs of a stage record: a digest of its pod settings, and the retry."""

    settings: str = ""
    retry: str = ""

    def differs(self, outcome: StageOutcome[Any]) -> bool:
        """Return whether the newest Job of a stage has other pod settings."""
        return outcome.settings not in {"", self.settings}

    def replaces(self, outcome: StageOutcome[Any]) -> bool:
        """Return whether a Job that waits or is suspended is deleted and created again."""
        return outcome.state in _WAITS and self.differs(outcome)

    def repeats(self, outcome: StageOutcome[Any]) -> bool:
        """Return whether a failed stage begins again, with all its retries."""
        return outcome.state is StageState.FAILED and (self.differs(outcome) or self.retry not in {"", outcome.retry})

    def runs_again(self, outcome: StageOutcome[Any]) -> bool:
        """Return whether the Job of a stage with one pod is deleted and created again."""
        resumes = outcome.state is StageState.FAILED and outcome.disposition is Disposition.RESUME
        return resumes or self.replaces(outcome) or self.repeats(outcome)


def retry_of(job: FineTuneJob) -> str:
    """Return the text of the job's annotation that requests a retry."""
    return job.metadata.annotations.get(RETRY, "")


def wanted_of(job: FineTuneJob, stage: Stage) -> Wanted:
    """Return what a Job of a stage records that is made now."""
    return Wanted(settings=_digest(job.spec, stage), retry=retry_of(job))


def _digest(spec: FineTuneJobSpec, stage: Stage) -> str:
    """Return a digest of the user's pod settings of a stage. Absent and empty values are left out, and equal quantities are equal."""
    options = asdict(options_of(spec, stage))
    chosen = {
        **_without_empty(options.pop("scheduling")),
        **options,
        "resources": {kind: {name: _plain(value) for name, value in of.items()} for kind, of in options["resources"].items()},
        "image": spec.workers.image,
        "deadline": spec.active_deadline_seconds,
        "memory": _plain(spec.workers.resources.limits.get("memory", "0")),  # also the least limit of the other stages
    }
    canonical = json.dumps(_without_empty(chosen), sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()[:_DIGITS]


def _plain(quantity: str) -> str:
    return str(amount(quantity).normalize()) if amount(quantity) else ""


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", (), {})}
