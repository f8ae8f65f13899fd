"""Updates of a served model on real pods, through its Service, while clients ask without pause: surged, rolled back, no request lost."""

import asyncio
from typing import Any

import pytest
from on_pods import QUICKSTART_JOB, Desk, of
from steady_clients import Clients
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SERVERS = of(QUICKSTART_JOB, "server")
NEVER_SAID = "a thing that no model of a café says"


def change(desk: Desk, **serving: Any) -> None:
    desk.patch(QUICKSTART_JOB, serving=serving)


def clients_of(desk: Desk) -> Clients:
    (service,) = desk.all("services", SERVERS)
    return Clients(f"http://{service['spec']['clusterIP']}", QUICKSTART_JOB, answer_tokens=48)


def servers(desk: Desk) -> set[str]:
    """Return the uids of the servers that are not leaving."""
    return {pod["metadata"]["uid"] for pod in desk.all("pods", SERVERS) if "deletionTimestamp" not in pod["metadata"]}


async def test_an_update_under_load_loses_no_request(desk, served):
    first, before = desk.status(QUICKSTART_JOB)["serving"]["revision"], servers(desk)
    clients = clients_of(desk)
    async with clients.asking():
        await clients.answered()
        await asyncio.to_thread(change, desk, maxConcurrentRequests=8)
        status = await asyncio.to_thread(
            desk.until,
            QUICKSTART_JOB,
            lambda status: status["reason"] == "Serving" and status["serving"]["revision"] != first and status,
            "an update",
        )
        await asyncio.to_thread(until, lambda: before.isdisjoint({pod["metadata"]["uid"] for pod in desk.all("pods", SERVERS)}), "gone")
        await clients.answered()
    assert clients.failures == []
    assert status["serving"]["previousRevision"] == first


async def test_an_update_that_answers_wrongly_is_rolled_back_and_nobody_notices(desk, served):
    good, before = desk.status(QUICKSTART_JOB)["serving"]["revision"], servers(desk)
    clients = clients_of(desk)
    async with clients.asking():
        await clients.answered()
        await asyncio.to_thread(change, desk, smokeTest={"prompt": "Who are you?", "contains": NEVER_SAID})
        status = await asyncio.to_thread(
            desk.until, QUICKSTART_JOB, lambda status: status["reason"] == "RolledBack" and status, "a rollback"
        )
        await asyncio.to_thread(until, lambda: servers(desk) == before, "the servers of before are there, and no others")
        await clients.answered()
    assert clients.failures == []
    assert (status["phase"], status["serving"]["revision"]) == ("Serving", good)
    assert status["failure"]["reason"] == "SmokeTestFailed"
    assert NEVER_SAID in status["message"]
    assert status["serving"]["rolledBackRevision"] != good

    change(desk, smokeTest=None)  # the job requests the running revision again
    desk.until(QUICKSTART_JOB, lambda status: status["reason"] == "Serving", "ready again")
