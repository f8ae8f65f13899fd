# ruff: noqa: N818 - the leaves are named after the event
"""The errors of a reconcile: one tree with six leaves and one reaction each. And which response of the API server is which error.

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

A 403 has five meanings. A quota, an admission policy and a namespace in deletion concern the object. A missing right concerns the operator,
and can return within a minute (RBAC is briefly empty during a cluster upgrade). With OwnerReferencesPermissionEnforcement, a kind that was
just defined cannot own objects yet.

A 500 has two meanings, too. It is the answer to a server-side apply with an unknown field, where another try does not help. Any
other failure of a write is NotWritten, with a reason: its webhook does not answer, the server is busy, or gives no answer in time.
"""

import json
import re
from collections.abc import Mapping
from math import isnan
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError


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


TRANSPORT_ERRORS = (HTTPError, OSError)  # urllib3's and the system's: refused, reset, timed out, no such host, bad certificate
REFUSED_BY_CLUSTER = "RefusedByCluster"  # the cluster does not accept the object
REFUSED_BY_POLICY = "RefusedByPolicy"
QUOTA_EXCEEDED = "QuotaExceeded"
FIELD_INVALID = "FieldInvalid"  # a server-side apply has a field that the kind does not have, or with another type
TOO_LARGE = "TooLarge"
# The reasons of NotWritten.
WEBHOOK_FAILED, SERVER_BUSY, NO_ANSWER, SERVER_FAILED = "WebhookFailed", "ServerBusy", "NoAnswer", "ServerFailed"
LONGEST_RETRY_SECONDS = 300.0  # bounds a proxy's "inf"
_LACKS = "the operator lacks this permission: check its ClusterRole and bindings"
_MESSAGE_LIMIT = 1000  # characters; an admission webhook may answer with pages
_LACKING = re.compile(r"cannot (?P<verb>\w+) resource \"(?P<resource>[\w/.-]+)\"")
_INVALID = re.compile(r"typed patch object[^:]*:\s+(?:errors:\s+)?(?P<field>\.\S+): ")
_WEBHOOK = "failed calling webhook"
_DENIED = ("denied the request", "denied request:")  # a webhook, and a ValidatingAdmissionPolicy
_LOST_REQUESTS = frozenset({0, 401, 408, 410, 429})  # 410: a list took longer than its continue token is valid; 401: a token was rotated


def translate(error: Exception, *, doing: str, primary: str, writing: str = "") -> TunewrightError:
    """Return the error of this tree for `error`. `doing`: the request, such as "apply Job a/b-check"; `primary`: the primary plural.

    `writing`: the kind of the object that the request writes; empty for a request that only reads.
    """
    if isinstance(error, ApiException):
        return _of_answer(error, doing=doing, primary=primary, writing=writing)
    message = f"{doing}: no answer from the API server: {type(error).__name__}: {str(error)[:_MESSAGE_LIMIT]}"
    return NotWritten(message, kind=writing, reason=NO_ANSWER) if writing else Transient(message)


def _of_answer(error: ApiException, *, doing: str, primary: str, writing: str) -> TunewrightError:
    code, status, headers = error.status or 0, status_of(error.body), dict(error.headers or {})
    message = f"{doing}: {code} {str(status.get('message') or error.reason or '')[:_MESSAGE_LIMIT]}"
    details = status.get("details") or {}
    if code >= 500 and (invalid := _INVALID.search(message)):
        return Rejected(message, reason=FIELD_INVALID, field=invalid["field"].lstrip("."))
    if code in _LOST_REQUESTS or code >= 500:
        seconds = _retry_after(headers, details)
        failed = NotWritten(message, kind=writing, reason=_why_not_written(code, message), retry_after=seconds)
        return failed if writing else Transient(message, retry_after=seconds)
    if code == 404:
        gone = details.get("kind") in ("namespaces", primary)
        return Gone(message) if gone else Conflict(message)  # a child that existed when it was read
    if code == 409:
        return Conflict(message)
    if code == 403:
        return _of_refusal(message, details, primary)
    if any(words in message for words in _DENIED):
        return Rejected(message, reason=REFUSED_BY_POLICY)
    return Rejected(message, reason=TOO_LARGE if code == 413 else REFUSED_BY_CLUSTER, field=_first_field(details))


def _why_not_written(code: int, message: str) -> str:
    if _WEBHOOK in message:
        return WEBHOOK_FAILED
    return {429: SERVER_BUSY, 408: NO_ANSWER, 504: NO_ANSWER}.get(code, SERVER_FAILED)


def _first_field(details: Mapping[str, Any]) -> str:
    """Return the field that an answer names first; empty if it names none."""
    return next((str(cause["field"]) for cause in details.get("causes") or () if cause.get("field")), "")


def _of_refusal(message: str, details: Mapping[str, Any], primary: str) -> TunewrightError:
    causes = {cause.get("reason") for cause in details.get("causes") or ()}
    if "NamespaceTerminating" in causes or "because it is being terminated" in message:
        return Gone(message)
    if "exceeded quota" in message or "must specify limits" in message or "must specify requests" in message:
        return Rejected(message, reason=QUOTA_EXCEEDED)
    if "cannot find RESTMapping" in message:  # an admission plugin that checks owners discovers new kinds every ten seconds
        return Transient(f"{message}; this kind is not registered on all API servers yet")
    if "you can't set finalizers on" in message:  # the same plugin; its message has no verb and resource
        resource = f"{primary}/finalizers"
        return Forbidden(
            f"{message}; the operator lacks this permission: check its ClusterRole and bindings", verb="update", resource=resource
        )
    if " cannot " in message and "User " in message:
        named = _LACKING.search(message)
        return Forbidden(f"{message}; {_LACKS}", **(named.groupdict() if named else {}))
    return Rejected(message, reason=REFUSED_BY_POLICY)


def _retry_after(headers: Mapping[str, str], details: Mapping[str, Any]) -> float | None:
    named = {name.lower(): value for name, value in headers.items()}.get("retry-after") or details.get("retryAfterSeconds")
    try:
        seconds = float(named) if named else None
    except ValueError:
        return None  # a date, which HTTP allows and the API server never sends
    return None if seconds is None or isnan(seconds) else min(max(seconds, 0.0), LONGEST_RETRY_SECONDS)


def status_of(body: Any) -> Mapping[str, Any]:
    """Return the `Status` object of an answer; empty for a proxy's HTML or empty answer."""
    try:
        parsed = json.loads(body or "{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
