"""What the refusal of a trial pod means: whether the stage can never start as it is, or only not now."""

import re
from dataclasses import dataclass

from tunewright_contract.quantities import amount
from tunewright_contract.stages import Stage

TOO_LARGE, POLICY, QUOTA = "PodOutsideLimits", "RefusedByPolicy", "QuotaExceeded"

_LIMIT_RANGE = re.compile(r"(maximum|minimum) \S+ usage per (Container|Pod) is|max limit to request ratio per")
_POLICY = re.compile(r"violates PodSecurity|denied the request|denied request:")
_QUOTA = re.compile(r"exceeded quota: \S+, requested: (?P<requested>.+), used: .+, limited: (?P<limited>[^;]+)")
_UNSET = re.compile(r"failed quota: \S+ must specify")


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
    resources = f"spec.{stage.settings}.resources"
    if _LIMIT_RANGE.search(message) or _UNSET.search(message):
        return Misfit(stage=stage, reason=TOO_LARGE, message=message, field=resources)
    if _POLICY.search(message):
        return Misfit(stage=stage, reason=POLICY, message=message)
    if (quota := _QUOTA.search(message)) is None:
        return None
    requested, limited = _amounts(quota["requested"]), _amounts(quota["limited"])
    above = [name for name, wanted in requested.items() if name in limited and amount(wanted) > amount(limited[name])]
    if above:
        return Misfit(stage=stage, reason=TOO_LARGE, message=message, field=resources)
    return Misfit(stage=stage, reason=QUOTA, message=message, field=resources, final=False)


def _amounts(text: str) -> dict[str, str]:
    """Read `limits.memory=43Gi,pods=1`."""
    return {name: value for name, _, value in (part.strip().partition("=") for part in text.split(",")) if value}
