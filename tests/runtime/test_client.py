"""The client's requests, page by page, and their timeouts, against a small HTTP server."""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration

from tunewright.kube.kinds import SCHEME, WATCHED
from tunewright_runtime.client import LISTS_AT_A_TIME, Client
from tunewright_runtime.errors import Conflict, Transient

JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bot-check", "namespace": "demo"}, "spec": {}}


class Server:
    """Returns the given answers, and records the requests."""

    def __init__(self):
        self.asked, self.answers, self.accepted = [], [], []

    async def handle(self, request):
        self.asked.append((request.method, request.path, dict(request.query), request.content_type, await request.text()))
        self.accepted.append(request.headers["Accept"])
        answer = self.answers.pop(0)
        if callable(answer):
            answer = await answer()
        code, body = answer
        return web.json_response(body, status=code)


@pytest.fixture
async def wire():
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running:
        settings = Configuration(host=str(running.make_url("/")).rstrip("/"))
        settings.retries = 0
        client = Client(ApiClient(settings), SCHEME, threads=2)
        yield client, server
        client.close()


async def test_an_object_is_read_as_raw_json(wire):
    client, server = wire
    server.answers = [(200, JOB)]
    assert await client.get("Job", "demo", "bot-check") == JOB
    assert server.asked[0][:2] == ("GET", "/apis/batch/v1/namespaces/demo/jobs/bot-check")


async def test_few_answers_to_lists_are_in_memory_at_once(monkeypatch):
    client = Client(ApiClient(Configuration()), SCHEME)
    now, most = 0, 0

    async def call(*_, **__):
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0)
        now -= 1
        return {"items": None, "metadata": {"resourceVersion": "7"}}

    monkeypatch.setattr(client, "_call", call)
    assert await asyncio.gather(*(client.versions(kind) for kind in WATCHED)) == [({}, 7)] * len(WATCHED)
    assert most == LISTS_AT_A_TIME
    client.close()


async def test_a_missing_object_is_none(wire):
    client, server = wire
    server.answers = [(404, {"message": "not found"})]
    assert await client.get("ConfigMap", "demo", "c") is None
    assert server.asked[0][1] == "/api/v1/namespaces/demo/configmaps/c"


def page(version, *names, more=None):
    items = [{"metadata": {"namespace": "demo", "name": name, "resourceVersion": str(number)}} for number, name in enumerate(names, 5)]
    return 200, {"metadata": {"resourceVersion": str(version), **({"continue": more} if more else {})}, "items": items or None}


async def test_versions_are_read_to_the_last_page(wire):
    client, server = wire
    server.answers = [page(90, "a", "b", more="more"), page(90, "c")]
    found, version = await client.versions("Pod", "demo", selector="x=y")
    assert (found, version) == ({("demo", "a"): 5, ("demo", "b"): 6, ("demo", "c"): 5}, 90)
    assert [asked[2] for asked in server.asked] == [
        {"limit": "250", "labelSelector": "x=y"},
        {"limit": "250", "labelSelector": "x=y", "continue": "more"},
    ]
    assert all("as=PartialObjectMetadataList" in accept for accept in server.accepted)


async def test_all_namespaces_are_listed_at_once(wire):
    client, server = wire
    server.answers = [page(7), page(7)]
    assert await client.versions("FineTuneJob") == ({}, 7)
    await client.probe("FineTuneJob")
    assert [asked[1:3] for asked in server.asked] == [
        ("/apis/tunewright.io/v1alpha1/finetunejobs", {"limit": "250"}),
        ("/apis/tunewright.io/v1alpha1/finetunejobs", {"limit": "1"}),
    ]


async def test_creating_an_existing_object_is_a_conflict(wire):
    client, server = wire
    server.answers = [(201, JOB)]
    await client.apply_new(JOB)
    body = json.loads(server.asked[0][4])
    assert body["metadata"] == JOB["metadata"] | {"resourceVersion": "1"}  # a version that nothing has


async def test_without_the_lease_nothing_is_written(wire):
    client, server = wire
    server.answers = [(200, JOB)]

    def refuse():
        raise Transient("not the leader")

    client._may_write = refuse
    with pytest.raises(Transient, match="not the leader"):
        await client.apply(JOB, force=True)
    await client.get("Job", "demo", "bot-check")
    assert [asked[0] for asked in server.asked] == ["GET"]


@pytest.mark.parametrize("force", [True, False])
async def test_apply_is_server_side_with_the_operators_field_manager(wire, force):
    client, server = wire
    server.answers = [(200, JOB)]
    await client.apply(JOB, force=force)
    method, _, query, content_type, body = server.asked[0]
    assert (method, content_type, json.loads(body)) == ("PATCH", "application/apply-patch+yaml", JOB)
    assert query == {"fieldManager": "tunewright", "force": str(force).lower()}


async def test_a_status_is_merged_into_its_subresource(wire):
    client, server = wire
    server.answers = [(200, {})]
    await client.merge("FineTuneJob", "demo", "bot", {"status": {"a": None}}, subresource="status")
    method, path, _, content_type, body = server.asked[0]
    assert (method, content_type, json.loads(body)) == ("PATCH", "application/merge-patch+json", {"status": {"a": None}})
    assert path == "/apis/tunewright.io/v1alpha1/namespaces/demo/finetunejobs/bot/status"


@pytest.mark.parametrize(("kind", "policy"), [("Job", "Foreground"), ("Service", "Background")])
async def test_exactly_one_object_is_deleted_and_of_a_job_its_pods_first(wire, kind, policy):
    client, server = wire
    server.answers = [(200, {}), (404, {})]
    await client.delete(kind, "demo", "bot-check", uid="7")
    assert json.loads(server.asked[0][4]) == {"propagationPolicy": policy, "preconditions": {"uid": "7"}}
    await client.delete("Job", "demo", "bot-check", uid="7")  # gone already


async def test_an_error_is_not_retried_and_is_translated(wire):
    client, server = wire
    server.answers = [(503, {"message": "starting"}), (409, {"message": "modified"})]
    with pytest.raises(Transient, match="starting"):
        await client.get("Job", "demo", "bot-check")
    with pytest.raises(Conflict, match="apply Job demo/bot-check: 409 modified"):
        await client.apply(JOB, force=True)
    assert len(server.asked) == 2


async def test_a_server_that_does_not_answer_causes_a_timeout(wire):
    client, server = wire
    client._time_limit = (5.0, 0.1)
    released = asyncio.Event()

    async def silence():
        await released.wait()
        return 200, {}

    server.answers = [silence]
    try:
        with pytest.raises(Transient, match="no answer"):
            await client.get("Job", "demo", "bot-check")
    finally:
        released.set()


async def test_a_refused_connection_is_transient():
    client = Client(ApiClient(_refusing()), SCHEME, threads=1)
    with pytest.raises(Transient, match="no answer"):
        await client.get("Job", "demo", "bot-check")
    client.close()


def _refusing() -> Configuration:
    settings = Configuration(host="http://127.0.0.1:1")
    settings.retries = 0
    return settings
