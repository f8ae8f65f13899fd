"""Tests the statements of docs/adr/0006 on the code of the pinned kopf, with simulated time.

Read that page again when you upgrade kopf.
"""

import asyncio
import inspect
import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf
import pytest
from kopf._cogs.clients import api, errors, watching
from kopf._cogs.structs import ephemera, references
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.reactor.inventory import ResourceMemories
from kopf._core.reactor.processing import process_resource_event
from sleeping import replace_sleep

from tunewright.kube.kinds import WATCHED, new_cache
from tunewright.shell import kopf_settings as ours
from tunewright.shell.handlers import registry_of
from tunewright_runtime.cache_sync import EventHandler

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/adr/0006-kopf-pitfalls.md"
JOBS = references.Resource(group="tunewright.io", version="v1alpha1", plural="finetunejobs", namespaced=True)


class Refusing:
    """An API server that answers alike for a number of times, and then lets a request pass."""

    closed = False

    def __init__(self, status: int, times: int) -> None:
        self._status, self._times = status, times
        self.asked = 0

    async def request(self, **_: Any) -> Any:
        self.asked += 1
        if self._status == 0:
            if self.asked <= self._times:
                raise aiohttp.ClientConnectionError("refused")
            return SimpleNamespace(status=200)
        return Answer(self._status) if self.asked <= self._times else SimpleNamespace(status=200)


class Answer:
    """One that is no success."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.headers: dict[str, str] = {}

    async def json(self) -> Any:
        return {"kind": "Status", "code": self.status, "message": "no"}

    def raise_for_status(self) -> None:
        raise aiohttp.ClientResponseError(None, (), status=self.status)  # type: ignore[arg-type]


@pytest.fixture
def slept(monkeypatch):
    """Waiting takes no time here; how long it would have taken."""
    seconds: list[float] = []

    async def sleep(pause: float) -> None:
        seconds.append(pause)

    replace_sleep(monkeypatch, api.__name__, sleep)
    return seconds


async def ask(settings: kopf.OperatorSettings, session: Refusing) -> Any:
    context = SimpleNamespace(session=session, server="https://x", add_response=lambda _: None)
    logger = SimpleNamespace(error=lambda *_: None, debug=lambda *_: None)
    return await api.request("get", "/y", settings=settings, context=context, logger=logger)  # type: ignore[arg-type]


def test_the_pinned_version_is_the_one_tested():
    assert version("kopf") == "1.45.2"


@pytest.mark.parametrize("status", [0, 403, 429, 500, 503])
async def test_kopf_by_itself_gives_up_after_54_seconds(slept, status):
    server = Refusing(status, times=1000)
    with pytest.raises((errors.APIError, aiohttp.ClientConnectionError)):
        await ask(kopf.OperatorSettings(), server)
    assert (server.asked, sum(slept)) == (9, 54)


@pytest.mark.parametrize("status", [0, 403, 429, 500, 503])
async def test_with_our_settings_kopf_retries_for_a_day(slept, status):
    server = Refusing(status, times=24 * 3600 // 16)
    await ask(ours.kopf_settings(), server)
    assert sum(slept) > 20 * 3600
    assert max(slept) <= 24  # and is back within that time


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_other_answers_end_the_watch_at_once(slept, status):
    """The process ends with its watch, so no watch can end alone. The restart is harmless (test_watches_that_end_the_process)."""
    server = Refusing(status, times=1)
    with pytest.raises(errors.APIClientError):
        await ask(ours.kopf_settings(), server)
    assert server.asked == 1


async def test_a_watch_without_events_is_restarted(monkeypatch):
    settings = ours.kopf_settings()
    assert settings.watching.inactivity_timeout == 70  # the API server sends a bookmark each minute
    settings.watching.inactivity_timeout = 0.01

    async def silent(**_: Any) -> Any:
        await asyncio.Event().wait()
        yield {}

    monkeypatch.setattr(watching.api, "stream", silent)
    never = asyncio.get_running_loop().create_future()
    seen = [event async for event in watching.watch_objs(settings=settings, resource=JOBS, namespace=None, operator_pause_waiter=never)]
    assert seen == []


async def test_an_error_in_a_watch_ends_it_except_an_expired_version(monkeypatch):
    async def failing(**_: Any) -> Any:
        yield {"type": "ERROR", "object": {"code": code}}

    monkeypatch.setattr(watching, "watch_objs", failing)
    settings = ours.kopf_settings()
    settings.watching.initial_streaming = True
    never = asyncio.get_running_loop().create_future()
    code = 410
    assert [
        one async for one in watching.continuous_watch(settings=settings, resource=JOBS, namespace=None, operator_pause_waiter=never)
    ] == []
    code = 500
    with pytest.raises(watching.WatchingError):
        [one async for one in watching.continuous_watch(settings=settings, resource=JOBS, namespace=None, operator_pause_waiter=never)]


def test_handlers_are_coroutines_that_return_nothing():
    """None waits for a thread, and nothing is stored for what one returns."""
    seen = list(registry_of(EventHandler(new_cache()), lambda _: None)._watching.get_all_handlers())
    assert len(seen) == len(WATCHED)
    assert all(inspect.iscoroutinefunction(handler.fn) for handler in seen)
    assert all(handler.fn.__annotations__["return"] is None for handler in seen)


@pytest.mark.parametrize(("kept", "memories"), [(100, ResourceMemories), (0, ours.NothingToRemember)], ids=["kopf's own", "ours"])
async def test_memory_that_kopf_keeps_for_objects(kept, memories):
    """Its own records of 5,000 jobs and their children would take 60 MB."""
    cache, remembered = new_cache(), memories()
    for number in range(100):
        meta = {"namespace": "demo", "name": f"j{number}", "uid": f"u{number}", "resourceVersion": "1"}
        await process_resource_event(
            lifecycle=kopf.lifecycles.asap,
            indexers=OperatorIndexers(),
            registry=registry_of(EventHandler(cache), lambda _: None),
            settings=ours.kopf_settings(),
            memories=remembered,
            memobase=ephemera.AnyMemo(ephemera.Memo()),
            resource=JOBS,
            raw_event={"type": None, "object": {"metadata": meta}},
            event_queue=asyncio.Queue(),
        )
    assert (len(list(remembered.iter_all_memories())), len(cache.primary_keys())) == (kept, 100)


def test_every_setting_has_a_comment_with_its_reason():
    """Each paragraph of settings begins with a comment that names the pitfall or the reason."""
    lines = inspect.getsource(ours.kopf_settings).splitlines()
    paragraphs = "\n".join(line.strip() for line in lines).split("\n\n")
    bare = [paragraph for paragraph in paragraphs if "settings." in paragraph and not paragraph.startswith("#")]
    assert bare == []


def test_the_adr_names_all_pitfalls_and_existing_tests():
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| (K\d+) \|", page, re.MULTILINE) == [f"K{number}" for number in range(1, 26)]
    named = re.findall(r"`((?:faults|shell|kube|reconcile|contract|hostile)/test_\w+)(?:::(test_\w+))?`", page)
    assert len(named) > 30
    for module, test in named:
        text = (TESTS / f"{module}.py").read_text(encoding="utf-8")
        assert not test or f"def {test}(" in text, f"{module}::{test}"
