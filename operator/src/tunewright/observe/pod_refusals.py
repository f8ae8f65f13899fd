"""Why the API server refuses a pod: one table of its words, for pods that a controller creates and for trial pods.

The refusal of a trial pod shows whether the stage can never start as it is, or only not now.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tunewright.observe.reasons import FailureReason
from tunewright_contract.quantities import amount
from tunewright_contract.stages import Stage

_QUOTA = re.compile(r"exceeded quota: \S+, requested: (?P<requested>.+), used: .+, limited: (?P<limited>[^;]+)")


def _above_the_quota(message: str) -> bool:
    """Return whether one pod requests more of a resource than the whole quota, so that waiting does not help."""
    if (quota := _QUOTA.search(message)) is None:
        return False
    requested, limited = _amounts(quota["requested"]), _amounts(quota["limited"])
    return any(amount(wanted) > amount(limited.get(name, wanted)) for name, wanted in requested.items() if name != "pods")


def _amounts(text: str) -> dict[str, str]:
    """Read `limits.memory=43Gi,pods=1`."""
    return {name: value for name, _, value in (part.strip().partition("=") for part in text.split(",")) if value}


def _has(words: str) -> Callable[[str], bool]:
    pattern = re.compile(words)
    return lambda message: pattern.search(message) is not None


# The first row that applies counts.
_MEANINGS: tuple[tuple[Callable[[str], bool], FailureReason], ...] = (
    (_has(r"usage per (Container|Pod) is|max limit to request ratio per"), FailureReason.OUTSIDE_LIMITS),  # a LimitRange
    (_has(r"must be less than or equal to \S+ limit"), FailureReason.OUTSIDE_LIMITS),  # a LimitRange's default below the request
    (_has(r"failed quota: .+ must specify"), FailureReason.OUTSIDE_LIMITS),
    (_above_the_quota, FailureReason.OUTSIDE_LIMITS),
    (_has(r"exceeded quota"), FailureReason.QUOTA),
    (_has(r"violates PodSecurity|admission webhook .+ denied the request|ValidatingAdmissionPolicy"), FailureReason.POLICY),
    (_has(r"error looking up service account"), FailureReason.SERVICE_ACCOUNT),
    (lambda _: True, FailureReason.PODS_REFUSED),
)


def reason_of_refusal(message: str) -> FailureReason:
    """Return the reason of a refused pod."""
    return next(reason for applies, reason in _MEANINGS if applies(message))


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
