"""The two errors of planning: the job must change, or something outside of it must."""

from tunewright.plan.inputs import Missing


class PlanRejected(Exception):  # noqa: N818 - the name of an outcome
    """This job can never run as it is. `reason` is CamelCase and stable, `field` the path in the job, `message` names the way out."""

    def __init__(self, *, reason: str, message: str, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.reason = reason
        self.message = message
        self.field = field


class PlanWaiting(Exception):  # noqa: N818 - likewise
    """Something the job names is not there yet. Planning succeeds once it is."""

    reason = "ReferencesMissing"

    def __init__(self, missing: tuple[Missing, ...]) -> None:
        self.missing = missing
        self.message = "; ".join(f"{item.field}: {item.message}" for item in missing)
        super().__init__(self.message)
