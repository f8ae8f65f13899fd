"""Lists of large objects: what is read at a time is bounded in bytes, and nothing is left out. Against a small HTTP server.

To add a case, add a row: the sizes of the objects, in the order of the list.
"""

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from tunewright.kube.kinds import SCHEME
from tunewright.shell.session import session_of
from tunewright_runtime.client import PAGE_BYTES, Client, PageSizes

MB = 2**20
SIZES = {
    "small ones": [100] * 120,
    "large ones": [MB] * 30,
    "large ones after small ones": [100] * 100 + [MB] * 30,
    "one that is larger than a page": [100, 9 * MB, 100],
    "one in the middle": [100] * 60 + [7 * MB] + [100] * 60,
}
ONE = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


class Store:
    """Objects in pages, as an API server lists them. Records the longest answer that was read to its end."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.limits = []

    async def list(self, request):
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        self.limits.append(limit)
        end = min(start + limit, len(self.sizes))
        meta = [{"name": f"n{at}", "namespace": "d", "uid": f"u{at}", "resourceVersion": "1"} for at in range(start, end)]
        items = [{"metadata": {**found, "annotations": {"a": "x" * self.sizes[at]}}} for at, found in enumerate(meta, start)]
        more = {"continue": str(end)} if end < len(self.sizes) else {}
        return web.json_response({"kind": "FineTuneJobList", "items": items, "metadata": {"resourceVersion": "9", **more}})


@pytest.fixture
async def store(sizes):
    store = Store(sizes)
    app = web.Application()
    app.router.add_get("/{path:.*}", store.list)
    async with TestServer(app) as running:
        store.url = str(running.make_url("/")).rstrip("/")
        yield store


@ONE
async def test_the_client_lists_all_objects(store, sizes):
    settings = Configuration(host=store.url)
    settings.retries = 0
    client = Client(ApiClient(settings), SCHEME, threads=2)
    found, version = await client.versions("FineTuneJob", "d")
    assert (len(found), version) == (len(sizes), 9)
    client.close()


@ONE
async def test_kopf_lists_all_objects(store, sizes):
    info = kopf.ConnectionInfo(server=store.url)
    session = session_of(info, page=100, take=lambda *_: None).aiohttp_session
    found, token, longest = [], "", 0
    while True:
        answer = await session.request(
            "get", f"{store.url}/apis/x/finetunejobs?limit=100" + (f"&continue={token}" if token else ""), headers=None
        )
        longest = max(longest, len(answer.whole))
        page = await answer.json()
        found += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
    await session.close()
    assert found == [f"n{at}" for at in range(len(sizes))]
    assert longest <= max(PAGE_BYTES, max(sizes) + 1000)


def test_page_sizes_shrink_at_once_and_grow_slowly():
    pages = PageSizes(100)
    seen = []
    for fits in (False, False, False, False, True, True, True, True, True, True, True, True):
        pages.fitted("a") if fits else pages.too_long("a")
        seen.append(pages.size("a"))
    assert seen == [25, 6, 1, 1, 2, 4, 8, 16, 32, 64, 100, 100]
    assert pages.size("b") == 100


async def test_other_answers_are_not_changed():
    app = web.Application()

    async def forbid(_):
        return web.json_response({"kind": "Status", "code": 403, "message": "no"}, status=403)

    app.router.add_get("/{path:.*}", forbid)
    async with TestServer(app) as running:
        url = str(running.make_url("/")).rstrip("/")
        session = session_of(kopf.ConnectionInfo(server=url), page=100, take=lambda *_: None).aiohttp_session
        answer = await session.request("get", f"{url}/x?limit=100", headers=None)
        assert (answer.status, (await answer.json())["message"]) == (403, "no")
        await session.close()
