"""When the process is live, when it is ready, and what it tells a scrape."""

import asyncio
import json
import logging
import sys

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tunewright.shell.health import Health, OperatorMetrics, WatchHealth, WriteHealth, application
from tunewright.shell.logs import JsonFormatter
from tunewright_runtime.driver import Driver, ReconcileResult
from tunewright_runtime.errors import NotWritten
from tunewright_runtime.objects import Key
from tunewright_runtime.queue import Queue


def verdict(*, oldest=0.0, busiest=0.0, compared=(), unseen="", now=0.0):
    watches = WatchHealth()
    for kind, missed, at in compared:
        watches.compared(kind, missed, now=at)
    health = Health(watches, unready=lambda: unseen, stalled_seconds=lambda: oldest, busiest_seconds=lambda: busiest, clock=lambda: now)
    return not health.problems(), not health.unready()


@pytest.mark.parametrize(
    ("live", "ready", "state"),
    [
        pytest.param(True, False, {"unseen": "Pod"}, id="the API server has not answered yet"),
        pytest.param(True, True, {}, id="everything has been looked at"),
        pytest.param(True, True, {"compared": [("Pod", 0, 0)], "now": 999}, id="the watch has shown all"),
        pytest.param(True, True, {"compared": [("Pod", 1, 0)], "now": 60}, id="the watch may only be slow"),
        pytest.param(False, False, {"compared": [("Pod", 1, 0)], "now": 121}, id="the watch is lagging"),
        pytest.param(
            False, False, {"compared": [("Pod", 1, 0), ("Job", 0, 90), ("Pod", 2, 100)], "now": 121}, id="the watch stays lagging"
        ),
        pytest.param(True, True, {"compared": [("Pod", 1, 0), ("Pod", 0, 60)], "now": 999}, id="the watch has caught up"),
        pytest.param(True, True, {"oldest": 299}, id="there is much to do"),
        pytest.param(False, False, {"oldest": 301}, id="no worker takes anything"),
        pytest.param(True, True, {"busiest": 599}, id="the API server is slow"),
        pytest.param(False, False, {"busiest": 601}, id="a worker hangs"),
    ],
)
def test_liveness_and_readiness(live, ready, state):
    assert verdict(**state) == (live, ready)


async def test_probes_and_scrapes_are_answered():
    unseen, waited, standby, unanswered = ["Pod"], [0.0], ["op-2 waits"], ["op-2 gets no answer"]
    metrics = OperatorMetrics(depth=lambda: 3, oldest_seconds=lambda: waited[0], jobs=lambda: 7, objects=lambda: 9)
    metrics.reconciles.labels("ok").inc()
    metrics.forbidden.labels("patch", "jobs").inc()
    health = Health(
        WatchHealth(), unready=lambda: "".join(unseen), stalled_seconds=lambda: waited[0], busiest_seconds=float, clock=lambda: 0.0
    )
    app = application(health, metrics, standby=lambda: standby, unanswered=lambda: unanswered)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/readyz")
        assert (answer.status, await answer.text()) == (503, "op-2 gets no answer\n")  # it could not take over
        unanswered.clear()
        answer = await client.get("/readyz")
        assert (answer.status, await answer.text()) == (200, "op-2 waits\n")  # ready to take over
        standby.clear()
        assert [(await client.get(path)).status for path in ("/livez", "/readyz")] == [200, 503]
        unseen.clear()
        assert (await client.get("/readyz")).status == 200
        waited[0] = 1000.0
        answer = await client.get("/livez")
        assert (answer.status, "waited 1000 s" in await answer.text()) == (503, True)
        told = set((await (await client.get("/metrics")).text()).splitlines())
    assert {'tunewright_reconciles_total{result="ok"} 1.0', "tunewright_queue_depth 3.0", "tunewright_jobs 7.0"} <= told
    assert {'tunewright_forbidden_total{resource="jobs",verb="patch"} 1.0', "tunewright_cached_objects 9.0"} <= told


async def test_failed_writes_are_notes_and_do_not_make_it_unready():
    now = [0.0]
    writes = WriteHealth(primary="FineTuneJob", clock=lambda: now[0])
    metrics = OperatorMetrics(depth=int, oldest_seconds=float, jobs=int, objects=int)
    health = Health(WatchHealth(), unready=str, stalled_seconds=float, busiest_seconds=float, clock=lambda: now[0])
    busy = NotWritten("patch FineTuneJob a/late: 429 slow down", kind="FineTuneJob", reason="ServerBusy")
    for number in range(7):
        writes.failed(Key("a", f"bot-{number}"), NotWritten("apply Job a/b: 500 no", kind="Job", reason="WebhookFailed"))
    for now[0] in (30.0, 40.0):
        writes.failed(Key("a", "late"), busy)
    async with TestClient(TestServer(application(health, metrics, notes=writes.notes))) as client:
        answer = await client.get("/readyz")
        first, second, *_, last = (await answer.text()).splitlines()
        assert (answer.status, first) == (200, "ok")
        assert second == "the status of a/late is not written (ServerBusy, 2 tries in 10 s): patch FineTuneJob a/late: 429 slow down"
        assert last == "3 more jobs have failed writes"
        for name in ("late", *(f"bot-{number}" for number in range(7))):
            writes.succeeded(Key("a", name))
        assert await (await client.get("/readyz")).text() == "ok\n"


def health_of(queue, now):
    """The health of an operator of which all is well but perhaps its queue."""
    stalled, busiest = queue.stalled_seconds, queue.busiest_seconds
    return Health(WatchHealth(), unready=str, stalled_seconds=stalled, busiest_seconds=busiest, clock=lambda: now[0])


async def test_a_stuck_worker_fails_the_probe_even_without_waiting_keys():
    now, taken, release = [0.0], asyncio.Event(), asyncio.Event()
    queue = Queue(clock=lambda: now[0], chance=lambda: 0.5)

    async def hang(_: str) -> ReconcileResult:
        taken.set()
        await release.wait()
        return ReconcileResult()

    health = health_of(queue, now)
    metrics = OperatorMetrics(depth=queue.depth, oldest_seconds=queue.oldest_seconds, jobs=int, objects=int)
    working = asyncio.create_task(Driver(queue, hang, workers=2).run())
    queue.add("bot")
    async with TestClient(TestServer(application(health, metrics))) as client:
        await taken.wait()
        assert (await client.get("/livez")).status == 200
        now[0] = 601.0
        answer = await client.get("/livez")
        assert (answer.status, await answer.text()) == (503, "a FineTuneJob has been in work for 601 s\n")
        release.set()
        queue.close()
        await working
        assert (await client.get("/livez")).status == 200


def test_a_long_queue_is_live_only_while_it_makes_progress():
    """Among thousands of jobs a start on a busy node takes minutes; if the probe killed it for this, it would restart without end."""
    now = [0.0]
    queue = Queue(clock=lambda: now[0], chance=lambda: 0.5)
    health = health_of(queue, now)
    for number in range(3):
        queue.add(f"bot{number}")
    now[0] = 1000.0  # not everything is known before
    assert health.problems() == []
    for _ in range(2):
        queue.done(queue.take())
        now[0] += 299.0
        assert health.problems() == []
    now[0] += 2.0
    assert health.problems() == ["a FineTuneJob has waited 301 s for a worker"]
    queue.done(queue.take())
    assert health.problems() == []


def test_a_log_line_is_one_json_object_with_its_traceback():
    try:
        int("why")
    except ValueError:
        record = logging.LogRecord("x.y", logging.ERROR, __file__, 1, "went %s", ("wrong",), sys.exc_info())
    line = JsonFormatter().format(record)
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "x.y", "went wrong")
    assert entry["time"].endswith("Z")
    assert "ValueError: invalid literal" in entry["error"]
