"""The two errors of planning: the job must change, or an object that it names is missing."""

from dataclasses import dataclass

from tunewright.plan.inputs import Missing


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why a job, or a change of it, cannot be carried out: a stable CamelCase `reason`, the path of the field, and the way out."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def error(self) -> "PlanRejected":
        """Return the exception for the callers of this package."""
        return PlanRejected(reason=self.reason, field=self.field, message=self.message)


class PlanRejected(Exception):  # noqa: N818 - the name of an outcome
    """This job can never run as it is. `reason` is CamelCase and stable, `field` the path in the job, `message` names the way out."""

    def __init__(self, *, reason: str, message: str, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.reason = reason
        self.message = message
        self.field = field


class PlanWaiting(Exception):  # noqa: N818 - likewise
    """An object that the job names does not exist yet. Planning succeeds when it does."""

    reason = "ReferencesMissing"

    def __init__(self, missing: tuple[Missing, ...]) -> None:
        self.missing = missing
        self.message = "; ".join(f"{item.field}: {item.message}" for item in missing)
        super().__init__(self.message)
