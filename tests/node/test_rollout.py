"""Updates of a served model on real pods, through its Service, while clients ask without pause: surged, rolled back, no request lost."""

import asyncio
from typing import Any

import pytest
from on_pods import EXAMPLES, Desk, quickstart, short
from steady_clients import Clients
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

JOB = "updated".ljust(63, "x")  # as long as a name may be: its children's have to be shorter
SERVERS = f"tunewright.io/job-name={JOB},tunewright.io/component=server"
NEVER_SAID = "a thing that no model of a café says"


@pytest.fixture(scope="module")
def desk(tunewright: Any, shared_namespace: str) -> Desk:
    """A namespace with the example's base model and data on the claim `corpora`."""
    desk = Desk(tunewright.node, shared_namespace)
    desk.fill_claim("corpora", tunewright.images["trainer"], {"base-model": EXAMPLES / "base-model" / "model", "data": EXAMPLES / "data"})
    return desk


@pytest.fixture(scope="module")
def served(desk: Desk) -> dict[str, Any]:
    """A model that is served."""
    desk.apply(JOB, short(quickstart()) | {"serving": quickstart()["serving"]})
    return desk.until_phase(JOB, "Serving")


def change(desk: Desk, **serving: Any) -> None:
    desk.patch(JOB, serving=serving)


def clients_of(desk: Desk) -> Clients:
    (service,) = desk.all("services", SERVERS)
    return Clients(f"http://{service['spec']['clusterIP']}", JOB, answer_tokens=48)


def servers(desk: Desk) -> set[str]:
    """Return the uids of the servers that are not leaving."""
    return {pod["metadata"]["uid"] for pod in desk.all("pods", SERVERS) if "deletionTimestamp" not in pod["metadata"]}


async def test_an_update_under_load_loses_no_request(desk, served):
    first, before = served["serving"]["revision"], servers(desk)
    clients = clients_of(desk)
    async with clients.asking():
        await clients.answered()
        await asyncio.to_thread(change, desk, maxConcurrentRequests=8)
        status = await asyncio.to_thread(
            desk.until, JOB, lambda status: status["reason"] == "Serving" and status["serving"]["revision"] != first and status, "an update"
        )
        await asyncio.to_thread(until, lambda: before.isdisjoint({pod["metadata"]["uid"] for pod in desk.all("pods", SERVERS)}), "gone")
        await clients.answered()
    assert clients.failures == []
    assert status["serving"]["previousRevision"] == first


async def test_an_update_that_answers_wrongly_is_rolled_back_and_nobody_notices(desk, served):
    good, before = desk.status(JOB)["serving"]["revision"], servers(desk)
    clients = clients_of(desk)
    async with clients.asking():
        await clients.answered()
        await asyncio.to_thread(change, desk, smokeTest={"prompt": "Who are you?", "contains": NEVER_SAID})
        status = await asyncio.to_thread(desk.until, JOB, lambda status: status["reason"] == "RolledBack" and status, "a rollback")
        await asyncio.to_thread(until, lambda: servers(desk) == before, "the servers of before are there, and no others")
        await clients.answered()
    assert clients.failures == []
    assert (status["phase"], status["serving"]["revision"]) == ("Serving", good)
    assert status["failure"]["reason"] == "SmokeTestFailed"
    assert NEVER_SAID in status["message"]
    assert status["serving"]["rolledBackRevision"] != good

    change(desk, smokeTest=None)  # the job requests the running revision again
    desk.until(JOB, lambda status: status["reason"] == "Serving", "ready again")
