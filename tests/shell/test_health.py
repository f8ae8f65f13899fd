"""When the process is live, when it is ready, and what it tells a scrape."""

import json
import logging
import sys

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tunewright.shell.health import Health, Sight, application
from tunewright.shell.logs import JsonLines
from tunewright.shell.metrics import Metrics


def verdict(*, oldest=0.0, sightings=(), now=0.0):
    sight = Sight()
    for listed, known, at in sightings:
        sight.compare(dict.fromkeys(listed), dict.fromkeys(known), now=at)
    health = Health(sight, oldest_seconds=lambda: oldest, clock=lambda: now)
    return not health.ailments(), not health.unready()


@pytest.mark.parametrize(
    ("live", "ready", "state"),
    [
        pytest.param(True, False, {}, id="the API server has not answered yet"),
        pytest.param(True, True, {"sightings": [("", "", 0)]}, id="there are no jobs"),
        pytest.param(True, True, {"sightings": [("ab", "ab", 0)], "now": 999}, id="the watch has shown all jobs"),
        pytest.param(True, True, {"sightings": [("ab", "a", 0)], "now": 60}, id="a job is new"),
        pytest.param(False, False, {"sightings": [("ab", "a", 0)], "now": 121}, id="the watch is blind"),
        pytest.param(False, False, {"sightings": [("ab", "a", 0), ("abc", "a", 60)], "now": 121}, id="the watch stays blind"),
        pytest.param(True, True, {"sightings": [("ab", "a", 0), ("ab", "ab", 60)], "now": 999}, id="the watch has caught up"),
        pytest.param(True, True, {"sightings": [("ab", "a", 0), ("a", "a", 60)], "now": 999}, id="the unseen job is gone"),
        pytest.param(True, True, {"sightings": [("", "", 0)], "oldest": 299}, id="there is much to do"),
        pytest.param(False, False, {"sightings": [("", "", 0)], "oldest": 301}, id="no worker takes anything"),
    ],
)
def test_the_process_is(live, ready, state):
    assert verdict(**state) == (live, ready)


async def test_probes_and_scrapes_are_answered():
    sight, waited = Sight(), [0.0]
    metrics = Metrics(depth=lambda: 3, oldest_seconds=lambda: waited[0], jobs=lambda: 7)
    metrics.reconciles.labels("ok").inc()
    app = application(Health(sight, oldest_seconds=lambda: waited[0], clock=lambda: 0.0), metrics)
    async with TestClient(TestServer(app)) as client:
        assert [(await client.get(path)).status for path in ("/livez", "/readyz")] == [200, 503]
        sight.compare({}, {}, now=0.0)
        assert (await client.get("/readyz")).status == 200
        waited[0] = 1000.0
        answer = await client.get("/livez")
        assert (answer.status, "waited 1000 s" in await answer.text()) == (503, True)
        told = (await (await client.get("/metrics")).text()).splitlines()
    assert {'tunewright_reconciles_total{result="ok"} 1.0', "tunewright_queue_depth 3.0", "tunewright_jobs 7.0"} <= set(told)


def test_a_log_line_is_one_json_object_with_its_traceback():
    try:
        int("why")
    except ValueError:
        record = logging.LogRecord("x.y", logging.ERROR, __file__, 1, "went %s", ("wrong",), sys.exc_info())
    line = JsonLines().format(record)
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "x.y", "went wrong")
    assert entry["time"].endswith("Z")
    assert "ValueError: invalid literal" in entry["error"]
