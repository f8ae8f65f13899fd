"""The API server, as far as this operator needs it: raw JSON in, raw JSON out, and `tunewright.errors` when it goes wrong.

The client library is synchronous; its calls run on a few threads of their own, so that a slow API server slows us down and never stops
the event loop. Every request has a time limit. The library's own retries are off: the queue retries, with backoff, and says so.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from sys import intern
from typing import Any

from kubernetes.client.api_client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from tunewright.errors import Transient
from tunewright.kube.connection import configuration
from tunewright.kube.decoding import decode_list, decode_object
from tunewright.kube.faults import TRANSPORT_ERRORS, translate
from tunewright.kube.kinds import PLACES, path_of
from tunewright.kube.pages import SINGLE_BYTES, PageSizes

FIELD_MANAGER = "tunewright"
USER_AGENT = "tunewright-operator"  # how the audit log tells us from others
PAGE = 250  # objects of one answer to a list
LISTS_AT_A_TIME = 3  # answers to lists: 250 pods take 8 MB, and ten kinds are listed when the operator starts
JSON = "application/json"
BARE = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"  # a list of metadata alone
THREADS = 8
CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0  # admission webhooks may take 10 s each, by default

Object = dict[str, Any]


def connect(*, threads: int = THREADS, read_seconds: float = READ_SECONDS, may_write: Callable[[], None] = lambda: None) -> "Client":
    """Return a client of the API server that this process is configured for. `may_write` is asked before each write, and may raise."""
    settings = configuration()
    settings.retries = 0
    settings.connection_pool_maxsize = threads
    api = ApiClient(settings)
    api.user_agent = USER_AGENT
    return Client(api, threads=threads, read_seconds=read_seconds, may_write=may_write)


class Client:
    """Talks to one API server. Raises Conflict, Transient, Gone and Rejected."""

    def __init__(
        self, api: ApiClient, *, threads: int = THREADS, read_seconds: float = READ_SECONDS, may_write: Callable[[], None] = lambda: None
    ) -> None:
        self._may_write = may_write
        self._time_limit = (CONNECT_SECONDS, read_seconds)
        self._dynamic = DynamicClient(api, discoverer=_NoDiscovery)  # type: ignore[no-untyped-call]
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="kube")
        self._lists = asyncio.Semaphore(LISTS_AT_A_TIME)
        self._pages = PageSizes(PAGE)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return one object, or None."""
        path = path_of(kind, namespace, name)
        found: Object | None = await self._call("get", path, doing=f"get {kind} {namespace}/{name}", absent_is_none=True)
        return found

    async def versions(self, kind: str, namespace: str = "", *, selector: str = "") -> tuple[Mapping[tuple[str, str], int], int]:
        """Return (namespace, name) -> resourceVersion of all objects with these labels, and as of which version that is so.

        An empty namespace means all of them. Only metadata is asked for, page by page.
        """
        found: dict[tuple[str, str], int] = {}
        token = ""
        while True:
            query = [*([("labelSelector", selector)] if selector else []), *([("continue", token)] if token else [])]
            async with self._lists:
                answer = await self._page(kind, namespace, doing=f"list {kind}", query=query, accept=BARE)
                for item in answer["items"] or ():  # null where there are none
                    meta = item["metadata"]
                    found[intern(meta["namespace"]), meta["name"]] = int(meta["resourceVersion"])
                token, version = answer["metadata"].get("continue") or "", int(answer["metadata"]["resourceVersion"])
                del answer  # before the next one comes
            if not token:
                return found, version

    async def probe(self, kind: str, namespace: str = "", *, selector: str = "") -> None:
        """Ask for one object of a kind, to learn whether that is allowed."""
        query = [("limit", 1), *([("labelSelector", selector)] if selector else [])]
        await self._call("get", path_of(kind, namespace), doing=f"list {kind}", query=query, accept=BARE, decode=decode_list)

    async def apply_new(self, manifest: Mapping[str, Any]) -> Object:
        """Server-side apply of an object that does not exist. One that does is a Conflict, and is not touched."""
        # No object has the version 1, so that the precondition fails for any that is there; it is not looked at where there is none.
        # A POST would do the same, but would record our fields as updated rather than applied, and later applies could not take them back.
        return await self.apply({**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "1"}}, force=False)

    async def select(self, kind: str, namespace: str, *, fields: str) -> Sequence[Object]:
        """Return objects by a field selector, at most a page of them."""
        answer = await self._page(kind, namespace, doing=f"list {kind} in {namespace}", query=[("fieldSelector", fields)])
        return [{"apiVersion": PLACES[kind].api_version, "kind": kind, **item} for item in answer["items"]]

    async def apply(self, manifest: Mapping[str, Any], *, force: bool) -> Object:
        """Server-side apply. Without `force`, a field that somebody else has set otherwise is a Conflict."""
        kind, meta = manifest["kind"], manifest["metadata"]
        stored: Object = await self._call(
            "patch",
            path_of(kind, meta["namespace"], meta["name"]),
            doing=f"apply {kind} {meta['namespace']}/{meta['name']}",
            body=json.dumps(manifest),  # JSON is YAML
            content_type="application/apply-patch+yaml",
            query=[("fieldManager", FIELD_MANAGER), ("force", "true" if force else "false")],
        )
        return stored

    async def merge(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = "") -> Object:
        """Merge patch. With `metadata.uid` in the patch, another object of the same name is a Conflict."""
        stored: Object = await self._call(
            "patch",
            path_of(kind, namespace, name, subresource),
            doing=f"patch {kind} {namespace}/{name}",
            body=dict(patch),
            content_type="application/merge-patch+json",
            query=[("fieldManager", FIELD_MANAGER)],
        )
        return stored

    async def create(self, kind: str, namespace: str, body: Mapping[str, Any]) -> Object:
        """Create an object. One that exists is a Conflict."""
        manifest = {"apiVersion": PLACES[kind].api_version, "kind": kind, **body}
        query = [("fieldManager", FIELD_MANAGER)]
        doing = f"create {kind} in {namespace or 'the cluster'}"
        stored: Object = await self._call("post", path_of(kind, namespace), doing=doing, body=manifest, query=query)
        return stored

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str) -> None:
        """Delete this very object, and in the background what it owns. One that is gone is well."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        path = path_of(kind, namespace, name)
        await self._call("delete", path, doing=f"delete {kind} {namespace}/{name}", body=body, absent_is_none=True)

    def close(self) -> None:
        """Let calls in progress end, and take no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _page(self, kind: str, namespace: str, *, doing: str, query: Sequence[tuple[str, Any]], accept: str = JSON) -> Object:
        """Return one page of a list, as long as fits into `PAGE_BYTES`."""
        while True:
            limit = ("limit", self._pages.size(kind))
            try:
                page: Object = await self._call(
                    "get",
                    path_of(kind, namespace),
                    doing=doing,
                    query=[limit, *query],
                    accept=accept,
                    decode=decode_list,
                    most_bytes=self._pages.limit_bytes(kind),
                )
            except _TooLongError:
                self._pages.too_long(kind)
            else:
                self._pages.fitted(kind)
                return page

    async def _call(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        body: Any = None,
        content_type: str = JSON,
        query: Sequence[tuple[str, Any]] = (),
        accept: str = JSON,
        absent_is_none: bool = False,
        decode: Callable[[bytes], Object] = decode_object,
        most_bytes: int = SINGLE_BYTES,
    ) -> Any:
        def request() -> Any:
            if method != "get":
                self._may_write()  # here, after any wait for a thread
            answer = self._dynamic.request(
                method,
                path,
                body=body,
                content_type=content_type,
                query_params=list(query),
                header_params={"Accept": accept},
                serialize=False,
                _request_timeout=self._time_limit,
            )
            data = answer.read(most_bytes + 1)
            if len(data) > most_bytes:
                answer.close()
                raise _TooLongError(f"{doing}: the answer has more than {most_bytes} bytes")
            answer.release_conn()
            return decode(data)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, request)
        except ApiException as error:
            meaning = translate(error, doing=doing)
            if absent_is_none and error.status == 404:
                return None
            raise meaning from error
        except TRANSPORT_ERRORS as error:
            raise translate(error, doing=doing) from error
        except ValueError as error:
            raise Transient(f"{doing}: the answer cannot be read: {error}") from error


class _TooLongError(Transient):
    """An answer has more bytes than are to be read."""


class _NoDiscovery:
    """Takes the place of the library's discovery: see kinds.py."""

    def __init__(self, client: DynamicClient, cache_file: str | None) -> None:
        del client, cache_file
