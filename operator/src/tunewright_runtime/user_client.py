"""A person's client of the API server: plain JSON, one request at a time, and streams of lines. It has the rights of that person.

Raises RefusedError for an answer that is an error, and UnreachableError without an answer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client.api_client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

from tunewright_runtime.connection import APPLY, JSON, MERGE, Transport
from tunewright_runtime.errors import TRANSPORT_ERRORS, TunewrightError, status_of
from tunewright_runtime.kubeconfig import SelectedCluster

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0  # an apply can wait for several admission webhooks
STREAM_SECONDS = 3600.0  # without a line; the API server ends a stream sooner
_LONGEST_MESSAGE = 2000


class RefusedError(TunewrightError):
    """The API server answered with an error. `status` is its Status object, empty if the answer is none."""

    def __init__(self, code: int, status: Mapping[str, Any], message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    @property
    def details(self) -> Mapping[str, Any]:
        """Return what the Status names: kind, name, causes."""
        return self.status.get("details") or {}


class UnreachableError(TunewrightError):
    """The API server gave no answer."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """An object, and the API server's warnings about the request."""

    body: dict[str, Any]
    warnings: Sequence[str] = field(default=())


class UserClient:
    """The client of one cluster."""

    def __init__(self, cluster: SelectedCluster, *, user_agent: str, field_manager: str) -> None:
        self.server = str(cluster.settings.host)
        self._api = ApiClient(cluster.settings)
        self._api.user_agent = user_agent
        self._field_manager = field_manager
        self._transport = Transport(self._api)

    def get(self, path: str, query: Sequence[tuple[str, Any]] = ()) -> dict[str, Any]:
        """Return an object or a list."""
        return self._whole("get", path, query=query).body

    def merge(self, path: str, patch: Mapping[str, Any]) -> Received:
        """Merge patch, with unknown fields refused. `metadata.uid` in the patch refuses another object of the same name."""
        return self._whole("patch", path, body=dict(patch), content_type=MERGE, query=self._writing())

    def apply(self, path: str, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False) -> Received:
        """Server-side apply, with unknown fields refused."""
        query = [*self._writing(), ("force", "true" if force else "false"), *([("dryRun", "All")] if dry_run else [])]
        return self._whole("patch", path, body=json.dumps(manifest), content_type=APPLY, query=query)

    def delete(self, path: str, *, uid: str) -> None:
        """Delete the object with this uid, and in the background its dependents."""
        self._whole("delete", path, body={"propagationPolicy": "Background", "preconditions": {"uid": uid}})

    def lines(self, path: str, query: Sequence[tuple[str, Any]] = (), *, accept: str = JSON) -> Iterator[bytes]:
        """Yield lines without their ends, as they arrive: of a watch, or of a log."""
        answer = self._request("get", path, query=query, accept=accept, seconds=STREAM_SECONDS)
        rest = b""
        try:
            for chunk in answer.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        except TRANSPORT_ERRORS as error:
            raise UnreachableError(_reason(error)) from error
        finally:
            answer.close()
        if rest:
            yield rest

    def port_forward(self, namespace: str, pod: str, port: int) -> Any:
        """Return a connection to a pod's port: the library's PortForward, whose `socket(port)` has `recv` and `sendall`."""
        from kubernetes.client.api.core_v1_api import CoreV1Api  # noqa: PLC0415 - with it come all models, which take a second

        api = CoreV1Api(ApiClient(self._api.configuration))  # the library replaces a method of this client during the call
        try:
            return portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        except ApiException as error:
            raise _refusal_of_websocket(error) from error

    def _writing(self) -> list[tuple[str, Any]]:
        return [("fieldManager", self._field_manager), ("fieldValidation", "Strict")]

    def _whole(self, method: str, path: str, **options: Any) -> Received:
        answer = self._request(method, path, **options)
        try:
            data = answer.read()
        except TRANSPORT_ERRORS as error:
            raise UnreachableError(_reason(error)) from error
        answer.release_conn()
        try:
            body = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise UnreachableError(f"the answer is not JSON: {str(error)[:200]}") from error
        return Received(body=body, warnings=_warnings(answer.headers))

    def _request(self, method: str, path: str, *, seconds: float = READ_SECONDS, **options: Any) -> Any:
        try:
            return self._transport.request(method, path, time_limit=(CONNECT_SECONDS, seconds), **options)
        except ApiException as error:
            raise _refusal(error) from error
        except TRANSPORT_ERRORS as error:
            raise UnreachableError(_reason(error)) from error


def _refusal(error: ApiException) -> RefusedError:
    status = status_of(error.body)
    text = status.get("message") or error.body or error.reason or "no reason"
    text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return RefusedError(error.status or 0, status, " ".join(text.split())[:_LONGEST_MESSAGE])


def _refusal_of_websocket(error: ApiException) -> TunewrightError:
    """Return the reason of a connection that was not upgraded. The library wraps it in the text of an exception with the status 0."""
    cause: BaseException | None = error.__context__
    code, body = getattr(cause, "status_code", 0) or 0, getattr(cause, "resp_body", None)
    if not code:
        return UnreachableError(str(error.reason or error))
    return _refusal(ApiException(status=code, reason=str(cause), body=body))


def _reason(error: BaseException) -> str:
    """Return what the system reported, without the library's words around it."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, BaseException) else error
    text = str(inner.args[-1]) if inner.args else str(inner)
    return " ".join(text.split())[:_LONGEST_MESSAGE] or type(inner).__name__


def _warnings(headers: Any) -> tuple[str, ...]:
    """Return the texts of `Warning: 299 - "text"` headers."""
    values = headers.getlist("Warning") if hasattr(headers, "getlist") else []
    return tuple(value.partition('"')[2].rpartition('"')[0].replace('\\"', '"') for value in values)
