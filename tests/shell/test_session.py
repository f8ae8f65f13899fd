"""kopf's session: the operator takes the events of a watch, and kopf gets bookmarks in their place."""

import json

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tunewright.observe.raw import UNREADABLE
from tunewright.shell.session import session_of

DEEP = "[" * 100 + "]" * 100


def event(kind, version, **spec):
    return {
        "type": kind,
        "object": {"metadata": {"name": "a", "namespace": "d", "uid": "u", "resourceVersion": str(version)}, "spec": spec},
    }


def bookmark(version):
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


@pytest.fixture
async def watch():
    """Return a function that watches Pods at a server which sends these bytes, and returns kopf's lines and the taken events."""
    sent, taken, running = [], [], []

    async def serve(request):
        answer = web.StreamResponse(status=200)
        await answer.prepare(request)
        for data in sent:
            await answer.write(data)
        return answer

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)

    async def through(*data):
        sent[:] = data
        url = str(server.make_url("/api/v1/pods"))
        session = session_of(kopf.ConnectionInfo(server=url), page=1, take=lambda kind, found: taken.append((kind, found))).aiohttp_session
        running.append(session)
        answer = await session.request("get", f"{url}?watch=true", headers=None)
        lines = b"".join([chunk async for chunk in answer.content.iter_chunked(1024)])
        return [json.loads(line) for line in lines.splitlines()], taken

    async with TestServer(app) as server:
        yield through
        for session in running:
            await session.close()


def lines(*events):
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


async def test_each_event_is_taken_and_kopf_gets_a_bookmark_of_its_version(watch):
    events = [event("ADDED", 5), event("MODIFIED", 6, a=1), event("DELETED", 7)]
    passed, taken = await watch(lines(*events))
    assert taken == [("Pod", each) for each in events]
    assert passed == [bookmark(5), bookmark(6), bookmark(7)]


@pytest.mark.parametrize(
    "other", [bookmark(9), {"type": "ERROR", "object": {"kind": "Status", "code": 410}}], ids=["a bookmark", "an error"]
)
async def test_kopf_gets_what_is_about_no_object(watch, other):
    assert await watch(lines(other)) == ([other], [])


async def test_an_event_may_arrive_in_parts(watch):
    whole = lines(event("ADDED", 5), event("ADDED", 6))
    passed, taken = await watch(whole[:40], whole[40:-10], whole[-10:])
    assert (len(taken), passed) == (2, [bookmark(5), bookmark(6)])


async def test_an_object_that_cannot_be_read_is_taken_with_the_reason(watch):
    passed, taken = await watch(lines(event("ADDED", 5)).replace(b'"spec": {}', f'"spec": {DEEP}'.encode()))
    ((_, found),) = taken
    assert "nests deeper" in found["object"][UNREADABLE]
    assert passed == [bookmark(5)]
