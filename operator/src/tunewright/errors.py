# ruff: noqa: N818 - the leaves are named for what happened, as the tree shows
"""Every way a reconcile can end without success: one tree, six leaves, one behaviour each.

It stands below all rooms, because the worlds (kube/, local/) raise what the spine (reconcile/) handles, and neither imports the other.

    Exception
    └── TunewrightError
        ├── Invalid     the manifest is wrong          status says so; wait for a new generation
        ├── Rejected    the plan cannot be made        status says so; look again later, the world may change
        ├── Conflict    somebody wrote in between      read again now, a bounded number of times
        ├── Transient   the world was in the way       back off with jitter, or for as long as it asked
        │   └── Forbidden   the operator lacks a right     the same, and status says so
        └── Gone        the job is not there any more  forget it

Anything else is a bug: logged with its traceback, counted, backed off from, never swallowed.
"""


class TunewrightError(Exception):
    """What we know how to handle. The text is written for the person who applied the job."""


class Invalid(TunewrightError):
    """The job's own words are wrong."""

    def __init__(self, message: str, *, reason: str = "InvalidSpec") -> None:
        super().__init__(message)
        self.reason = reason


class Rejected(TunewrightError):
    """The job reads well, but cannot be carried out as things are."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Conflict(TunewrightError):
    """What was read is not what is there any more."""


class Transient(TunewrightError):
    """It may well work next time. `retry_after` is in seconds, when the world named a time."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(Transient):
    """The operator lacks a right. That is not the job's fault, and may be mended at any time. `verb` and `resource` name it where known."""

    def __init__(self, message: str, *, verb: str = "", resource: str = "") -> None:
        super().__init__(message)
        self.verb = verb
        self.resource = resource


class Gone(TunewrightError):
    """The job was deleted, or replaced by another of the same name."""
