"""Maps the API server's responses and connection errors to Conflict, Transient, Gone or Rejected.

A 403 has five meanings. A quota, an admission policy and a namespace in deletion concern the object. A missing right concerns the operator,
and can return within a minute (RBAC is briefly empty during a cluster upgrade). With OwnerReferencesPermissionEnforcement, a kind that was
just defined cannot own objects yet.
"""

import json
import re
from collections.abc import Mapping
from math import isnan
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tunewright_runtime.errors import Conflict, Forbidden, Gone, Rejected, Transient, TunewrightError

TRANSPORT_ERRORS = (HTTPError, OSError)  # urllib3's and the system's: refused, reset, timed out, no such host, bad certificate
REFUSED_BY_CLUSTER = "RefusedByCluster"  # the cluster does not accept the object
LONGEST_RETRY_SECONDS = 300.0  # bounds a proxy's "inf"
_LACKS = "the operator lacks this permission: check its ClusterRole and bindings"
_MESSAGE_LIMIT = 1000  # characters; an admission webhook may answer with pages
_LACKING = re.compile(r"cannot (?P<verb>\w+) resource \"(?P<resource>[\w/.-]+)\"")
_LOST_REQUESTS = frozenset({0, 401, 408, 410, 429})  # 410: a list took longer than its continue token is valid; 401: a token was rotated


def translate(error: Exception, *, doing: str, primary: str) -> TunewrightError:
    """Return the error of this tree for `error`. `doing`: the request, such as "apply Job a/b-check"; `primary`: the primary plural."""
    if isinstance(error, ApiException):
        return _of_answer(error, doing=doing, primary=primary)
    return Transient(f"{doing}: no answer from the API server: {type(error).__name__}: {str(error)[:_MESSAGE_LIMIT]}")


def _of_answer(error: ApiException, *, doing: str, primary: str) -> TunewrightError:
    code, status, headers = error.status or 0, _status_of(error.body), dict(error.headers or {})
    message = f"{doing}: {code} {str(status.get('message') or error.reason or '')[:_MESSAGE_LIMIT]}"
    details = status.get("details") or {}
    if code in _LOST_REQUESTS or code >= 500:
        return Transient(message, retry_after=_retry_after(headers, details))
    if code == 404:
        gone = details.get("kind") in ("namespaces", primary)
        return Gone(message) if gone else Conflict(message)  # a child that existed when it was read
    if code == 409:
        return Conflict(message)
    if code == 403:
        return _of_refusal(message, details, primary)
    return Rejected(message, reason="TooLarge" if code == 413 else REFUSED_BY_CLUSTER)


def _of_refusal(message: str, details: Mapping[str, Any], primary: str) -> TunewrightError:
    causes = {cause.get("reason") for cause in details.get("causes") or ()}
    if "NamespaceTerminating" in causes or "because it is being terminated" in message:
        return Gone(message)
    if "exceeded quota" in message or "must specify limits" in message or "must specify requests" in message:
        return Rejected(f"{message}; request less, or have the namespace's ResourceQuota raised", reason="QuotaExceeded")
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
    return Rejected(f"{message}; a policy of the cluster refuses it", reason="RefusedByPolicy")


def _retry_after(headers: Mapping[str, str], details: Mapping[str, Any]) -> float | None:
    named = {name.lower(): value for name, value in headers.items()}.get("retry-after") or details.get("retryAfterSeconds")
    try:
        seconds = float(named) if named else None
    except ValueError:
        return None  # a date, which HTTP allows and the API server never sends
    return None if seconds is None or isnan(seconds) else min(max(seconds, 0.0), LONGEST_RETRY_SECONDS)


def _status_of(body: Any) -> Mapping[str, Any]:
    """Return the `Status` object of an answer; empty for a proxy's HTML or empty answer."""
    try:
        parsed = json.loads(body or "{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
