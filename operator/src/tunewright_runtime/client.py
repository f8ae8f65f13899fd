"""A client of the API server: raw JSON in and out, and `tunewright_runtime.errors` on failure.

The client library is synchronous. Its calls run on a few threads, so that a slow API server never blocks the event loop. Every request
has a timeout. The library's own retries are off: the queue retries, with backoff, and logs it.

`PageSizes` chooses how much a list requests at once: the API server limits a page by the number of objects, but memory is limited in bytes.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from sys import intern
from typing import Any

from kubernetes.client.api_client import ApiClient
from kubernetes.client.exceptions import ApiException

from tunewright_runtime.connection import APPLY, JSON, MERGE, Transport, configuration
from tunewright_runtime.decoding import JsonDecoder
from tunewright_runtime.errors import TRANSPORT_ERRORS, Transient, translate
from tunewright_runtime.objects import Manifest, Scheme

PAGE_BYTES = 8 * 2**20  # of one answer to a list; decoded it takes several times as much
SINGLE_BYTES = 16 * 2**20  # of one object: etcd stores 1.5 MB by default, and warns when it is set up for more than 10


class PageSizes:
    """Sizes of pages, by what is listed. A page that is too long is requested again with a quarter of its size; sizes then grow again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sizes: dict[str, int] = {}

    def size(self, what: str) -> int:
        """Return how many objects to request."""
        return self._sizes.get(what, self._most)

    def limit_bytes(self, what: str) -> int:
        """Return how many bytes of an answer to read. A page of one object cannot be made shorter."""
        return PAGE_BYTES if self.size(what) > 1 else SINGLE_BYTES

    def too_long(self, what: str) -> None:
        """Record that an answer was too long."""
        self._sizes[what] = max(1, self.size(what) // 4)

    def fitted(self, what: str) -> None:
        """Record that an answer fitted."""
        size = min(self.size(what) * 2, self._most)
        if size < self._most:
            self._sizes[what] = size
        else:
            self._sizes.pop(what, None)


PAGE = 250  # objects of one answer to a list
LISTS_AT_A_TIME = 3  # answers to lists: 250 pods take 8 MB, and ten kinds are listed when the operator starts
BARE = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"  # a list of metadata alone
THREADS = 8
CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0  # admission webhooks may take 10 s each, by default


def connect(
    scheme: Scheme,
    *,
    user_agent: str,
    threads: int = THREADS,
    read_seconds: float = READ_SECONDS,
    may_write: Callable[[], None] = lambda: None,
) -> "Client":
    """Return a client of the API server that this process is configured for. `may_write` is called before each write, and may raise.

    The API server's audit log names `user_agent`.
    """
    settings = configuration()
    settings.retries = 0
    settings.connection_pool_maxsize = threads
    api = ApiClient(settings)
    api.user_agent = user_agent
    return Client(api, scheme, threads=threads, read_seconds=read_seconds, may_write=may_write)


class Client:
    """The client of one API server. Raises Conflict, Transient, Gone and Rejected; for a write that failed, NotWritten."""

    def __init__(
        self,
        api: ApiClient,
        scheme: Scheme,
        *,
        threads: int = THREADS,
        read_seconds: float = READ_SECONDS,
        may_write: Callable[[], None] = lambda: None,
    ) -> None:
        self._scheme = scheme
        self._decoder = JsonDecoder(scheme)
        self._may_write = may_write
        self._time_limit = (CONNECT_SECONDS, read_seconds)
        self._transport = Transport(api)
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="kube")
        self._lists = asyncio.Semaphore(LISTS_AT_A_TIME)
        self._pages = PageSizes(PAGE)

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """Return one object, or None."""
        path = self._scheme.path(kind, namespace, name)
        found: dict[str, Any] | None = await self._call("get", path, doing=f"get {kind} {namespace}/{name}", absent_is_none=True)
        return found

    async def versions(self, kind: str, namespace: str = "", *, selector: str = "") -> tuple[Mapping[tuple[str, str], int], int]:
        """Return (namespace, name) -> resourceVersion of all objects with these labels, and the resourceVersion of the list.

        An empty namespace means all namespaces. It requests only metadata, page by page.
        """
        found: dict[tuple[str, str], int] = {}
        token = ""
        while True:
            query = [*([("labelSelector", selector)] if selector else []), *([("continue", token)] if token else [])]
            async with self._lists:
                answer = await self._page(kind, namespace, doing=f"list {kind}", query=query, accept=BARE)
                for item in answer["items"] or ():  # null if there are none
                    meta = item["metadata"]
                    found[intern(meta["namespace"]), meta["name"]] = int(meta["resourceVersion"])
                token, version = answer["metadata"].get("continue") or "", int(answer["metadata"]["resourceVersion"])
                del answer  # free its memory before the next page
            if not token:
                return found, version

    async def probe(self, kind: str, namespace: str = "", *, selector: str = "") -> None:
        """Request one object of a kind, to check whether that is allowed."""
        query = [("limit", 1), *([("labelSelector", selector)] if selector else [])]
        await self._call(
            "get", self._scheme.path(kind, namespace), doing=f"list {kind}", query=query, accept=BARE, decode=self._decoder.decode_list
        )

    async def apply_new(self, manifest: Manifest) -> dict[str, Any]:
        """Server-side apply of an object that does not exist. Raises Conflict if it exists, and does not change it."""
        # No object has the version 1, so the precondition fails for each existing one. If there is none, the API server ignores it.
        # A POST would record the fields as updated and not as applied, so later applies could not remove them.
        return await self.apply({**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "1"}}, force=False)

    async def select(self, kind: str, namespace: str, *, fields: str) -> Sequence[dict[str, Any]]:
        """Return objects by a field selector, at most a page of them."""
        answer = await self._page(kind, namespace, doing=f"list {kind} in {namespace}", query=[("fieldSelector", fields)])
        return [{"apiVersion": self._scheme.resources[kind].api_version, "kind": kind, **item} for item in answer["items"]]

    async def apply(self, manifest: Manifest, *, force: bool) -> dict[str, Any]:
        """Server-side apply. Without `force`, raises Conflict for a field that another manager has set to another value."""
        kind, meta = manifest["kind"], manifest["metadata"]
        stored: dict[str, Any] = await self._call(
            "patch",
            self._scheme.path(kind, meta["namespace"], meta["name"]),
            doing=f"apply {kind} {meta['namespace']}/{meta['name']}",
            writing=kind,
            body=json.dumps(manifest),
            content_type=APPLY,
            query=[("fieldManager", self._scheme.field_manager), ("force", "true" if force else "false")],
        )
        return stored

    async def merge(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str = "") -> dict[str, Any]:
        """Merge patch. With `metadata.uid` in the patch, raises Conflict for another object of the same name."""
        stored: dict[str, Any] = await self._call(
            "patch",
            self._scheme.path(kind, namespace, name, subresource),
            doing=f"patch {kind} {namespace}/{name}",
            writing=kind,
            body=dict(patch),
            content_type=MERGE,
            query=[("fieldManager", self._scheme.field_manager)],
        )
        return stored

    async def create(self, kind: str, namespace: str, body: Manifest, *, dry_run: bool = False) -> dict[str, Any]:
        """Create an object. Raises Conflict if it exists. `dry_run`: only check whether it would be admitted."""
        manifest = {"apiVersion": self._scheme.resources[kind].api_version, "kind": kind, **body}
        query = [("fieldManager", self._scheme.field_manager), *([("dryRun", "All")] if dry_run else [])]
        doing = f"create {kind} in {namespace or 'the cluster'}"
        stored: dict[str, Any] = await self._call(
            "post", self._scheme.path(kind, namespace), doing=doing, writing=kind, body=manifest, query=query
        )
        return stored

    async def delete(self, kind: str, namespace: str, name: str, *, uid: str) -> None:
        """Delete the object with this uid, and its dependents. Succeeds if it is already gone.

        A Job stays until its pods are gone, so that another Job of its name does not run beside them.
        """
        body = {"propagationPolicy": "Foreground" if kind == "Job" else "Background", "preconditions": {"uid": uid}}
        path = self._scheme.path(kind, namespace, name)
        await self._call("delete", path, doing=f"delete {kind} {namespace}/{name}", writing=kind, body=body, absent_is_none=True)

    def close(self) -> None:
        """Wait for running calls, and accept no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _page(self, kind: str, namespace: str, *, doing: str, query: Sequence[tuple[str, Any]], accept: str = JSON) -> dict[str, Any]:
        """Return one page of a list, with as many objects as fit into `PAGE_BYTES`."""
        while True:
            limit = ("limit", self._pages.size(kind))
            try:
                page: dict[str, Any] = await self._call(
                    "get",
                    self._scheme.path(kind, namespace),
                    doing=doing,
                    query=[limit, *query],
                    accept=accept,
                    decode=self._decoder.decode_list,
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
        writing: str = "",
        body: Any = None,
        content_type: str = JSON,
        query: Sequence[tuple[str, Any]] = (),
        accept: str = JSON,
        absent_is_none: bool = False,
        decode: Callable[[bytes], dict[str, Any]] | None = None,
        most_bytes: int = SINGLE_BYTES,
    ) -> Any:
        def request() -> Any:
            if writing:
                self._may_write()  # here, after any wait for a thread
            answer = self._transport.request(
                method, path, body=body, content_type=content_type, query=query, accept=accept, time_limit=self._time_limit
            )
            data = answer.read(most_bytes + 1)
            if len(data) > most_bytes:
                answer.close()
                raise _TooLongError(f"{doing}: the answer has more than {most_bytes} bytes")
            answer.release_conn()
            return (decode or self._decoder.decode_object)(data)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, request)
        except ApiException as error:
            meaning = translate(error, doing=doing, primary=self._scheme.primary_plural, writing=writing)
            if absent_is_none and error.status == 404:
                return None
            raise meaning from error
        except TRANSPORT_ERRORS as error:
            raise translate(error, doing=doing, primary=self._scheme.primary_plural, writing=writing) from error
        except ValueError as error:
            raise Transient(f"{doing}: the answer cannot be read: {error}") from error


class _TooLongError(Transient):
    """An answer has more bytes than the limit."""
