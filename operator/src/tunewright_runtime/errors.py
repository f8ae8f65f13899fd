# ruff: noqa: N818 - the leaves are named after the event
"""The errors of a reconcile: one tree with six leaves and one reaction each.

    Exception
    └── TunewrightError
        ├── Invalid     the manifest is wrong             status reports it; wait for a new generation
        ├── Rejected    the plan cannot be carried out    status reports it; try again later, the cluster may change
        ├── Conflict    another writer was faster         read again now, a bounded number of times
        ├── Transient   the network or server failed      back off with jitter, or for the time that the server named
        │   ├── Forbidden   the operator lacks a right        the same, and status reports it
        │   └── NotWritten  a write failed                    the same, and status reports the third in a row
        └── Gone        the object no longer exists          forget it

Any other error is a defect: it is logged with its traceback, counted and retried with backoff, never ignored.
"""


class TunewrightError(Exception):
    """An error with a defined reaction. Its message is for the user who applied the manifest."""


class Invalid(TunewrightError):
    """The manifest itself is wrong."""

    def __init__(self, message: str, *, reason: str = "InvalidSpec") -> None:
        super().__init__(message)
        self.reason = reason


class Rejected(TunewrightError):
    """The manifest is valid, but cannot be carried out in the present state of the cluster. `field`: of a child, if the answer names it."""

    def __init__(self, message: str, *, reason: str, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field


class Conflict(TunewrightError):
    """The object that was read is out of date."""


class Transient(TunewrightError):
    """The next try may succeed. `retry_after` is in seconds, if the server named a time."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(Transient):
    """The operator lacks a right, which an administrator can grant at any time. `verb` and `resource` name it, if known."""

    def __init__(self, message: str, *, verb: str = "", resource: str = "") -> None:
        super().__init__(message)
        self.verb = verb
        self.resource = resource


class NotWritten(Transient):
    """The API server failed a write of an object of this kind, or did not answer. `reason` is one stable word for it."""

    def __init__(self, message: str, *, kind: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.kind = kind
        self.reason = reason


class Gone(TunewrightError):
    """The object was deleted, or replaced by another of the same name."""
