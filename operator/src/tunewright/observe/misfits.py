"""What the refusal of a trial pod means: whether the stage can never start as it is, or only not now."""

from dataclasses import dataclass

from tunewright.observe.pod_refusals import reason_of_refusal
from tunewright.observe.reasons import FailureReason
from tunewright_contract.stages import Stage

_OF_RESOURCES = frozenset({FailureReason.OUTSIDE_LIMITS, FailureReason.QUOTA})


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A stage whose pods the API server would refuse. `field`: the job's field that can change it; empty if the message has to name it."""

    stage: Stage
    reason: str
    message: str
    field: str = ""
    final: bool = True  # False: the same pod can be admitted later, when others have ended

    def __str__(self) -> str:
        field = f" Change {self.field}, or have the limit raised." if self.field else ""
        return f"{self.stage.name} cannot start: {self.message}.{field}"


def misfit_of(stage: Stage, message: str) -> Misfit | None:
    """Return what a refusal means; None for one that shows nothing about the pod, such as a missing service account."""
    reason = reason_of_refusal(message)
    if reason not in {*_OF_RESOURCES, FailureReason.POLICY}:
        return None
    field = f"spec.{stage.settings}.resources" if reason in _OF_RESOURCES else ""
    return Misfit(stage=stage, reason=reason.value, message=message, field=field, final=reason is not FailureReason.QUOTA)
