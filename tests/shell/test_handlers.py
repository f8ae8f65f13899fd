"""kopf's handlers: they enqueue and nothing else, leave nothing on objects, and cannot fail."""

import asyncio
from itertools import islice

import kopf
import pytest

from tunewright.kube.kinds import CHILDREN, new_cache
from tunewright.shell.controller import DRAIN_SECONDS, Controller, log_scope
from tunewright.shell.handlers import registry_of
from tunewright.shell.kopf_settings import EndlessBackoffs, NothingToCompare, NothingToRemember, kopf_settings
from tunewright.shell.settings import OperatorSettings
from tunewright_runtime.cache_sync import EventHandler
from tunewright_runtime.objects import Key

JOB = {"metadata": {"namespace": "demo", "name": "bot", "uid": "1", "generation": 1, "resourceVersion": "1"}}
AT_REST = {"status": {"phase": "Serving"}}
CHILD = {"metadata": {"namespace": "demo", "name": "p", "resourceVersion": "2", "labels": {"tunewright.io/job-uid": "1"}}}


@pytest.fixture
def woken():
    return []


@pytest.fixture
def handlers(woken):
    registry = registry_of(EventHandler(new_cache()), woken.append)
    return {handler.id: handler.fn for handler in registry._watching.get_all_handlers()}


def test_no_handler_is_registered_that_writes_to_objects(woken):
    registry = registry_of(EventHandler(new_cache()), woken.append)
    for kind in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(kind.get_all_handlers()) == []
    assert list(registry._watching.get_all_handlers())


def test_jobs_and_their_children_are_watched(handlers):
    assert set(handlers) == {"on_finetunejob"} | {f"on_{kind.lower()}" for kind in CHILDREN}


async def test_an_event_becomes_a_key(handlers, woken):
    await handlers["on_finetunejob"](event={"type": "ADDED", "object": JOB})
    await handlers["on_pod"](event={"type": "MODIFIED", "object": CHILD})
    assert woken == [Key("demo", "bot")] * 2


@pytest.mark.parametrize(
    ("expected", "handler", "event"),
    [
        ("news", "on_finetunejob", {"type": "ADDED", "object": JOB}),
        ("news", "on_finetunejob", {"type": "MODIFIED", "object": JOB | AT_REST}),
        ("news", "on_finetunejob", {"type": None, "object": JOB}),
        ("news", "on_finetunejob", {"type": None, "object": JOB | {"status": {"phase": "Training"}}}),
        ("routine", "on_finetunejob", {"type": None, "object": JOB | AT_REST}),
        ("soon", "on_pod", {"type": "ADDED", "object": CHILD}),
        ("routine", "on_pod", {"type": None, "object": CHILD}),
    ],
    ids=["a new job", "a changed one", "one not looked at yet", "one at work", "one at rest", "a new child", "a child that was there"],
)
async def test_listed_objects_are_routine_except_for_unfinished_jobs(expected, handler, event):
    woken = []
    cache = new_cache()
    if handler == "on_pod":
        cache.put(JOB, "FineTuneJob")
    registry = registry_of(
        EventHandler(cache),
        lambda _: woken.append("news"),
        wake_soon=lambda _: woken.append("soon"),
        wake_routinely=lambda _: woken.append("routine"),
    )
    handlers = {each.id: each.fn for each in registry._watching.get_all_handlers()}
    await handlers[handler](event=event)
    assert woken == [expected]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ADDED", "object": {}},
        {"type": "ADDED", "object": {"metadata": None}},
        {"type": None, "object": {"metadata": {}}},
        {"type": "ADDED"},
        {},
    ],
    ids=str,
)
async def test_an_unreadable_event_does_not_end_the_watch(handlers, woken, caplog, event):
    for handler in handlers.values():
        await handler(event=event)
    assert woken == []
    assert "could not be read" in caplog.text


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), MemoryError(), RecursionError(), OSError("x")], ids=repr)
async def test_an_error_with_an_event_is_logged_and_its_job_is_still_reconciled(woken, caplog, error):
    class Broken:
        def of_job(self, *_):
            raise error

        def of_child(self, *_):
            raise error

    handlers = {handler.id: handler.fn for handler in registry_of(Broken(), woken.append)._watching.get_all_handlers()}
    labelled = {"metadata": CHILD["metadata"] | {"labels": {"tunewright.io/job-name": "bot"}}}
    await handlers["on_finetunejob"](event={"type": "ADDED", "object": JOB})
    await handlers["on_pod"](event={"type": "ADDED", "object": labelled})
    await handlers["on_pod"](event={"type": "ADDED", "object": CHILD})  # it has no owner
    assert woken == [Key("demo", "bot")] * 2
    assert "an event of FineTuneJob demo/bot could not be read" in caplog.text
    assert "an event of Pod demo/p could not be read" in caplog.text


async def test_a_failing_queue_does_not_end_the_watch(caplog):
    def full(_: Key) -> None:
        raise RuntimeError("no more")

    handlers = {handler.id: handler.fn for handler in registry_of(EventHandler(new_cache()), full)._watching.get_all_handlers()}
    await handlers["on_finetunejob"](event={"type": "ADDED", "object": JOB})
    assert "was not queued for FineTuneJob demo/bot" in caplog.text


def test_backoffs_never_end_and_never_grow_beyond_their_ceiling():
    pauses = list(islice(EndlessBackoffs(), 1000))
    assert len(pauses) == 1000
    assert max(pauses) <= 24.0
    assert len(set(pauses[-20:])) > 1
    with pytest.raises(TypeError):
        len(EndlessBackoffs())


def test_kopf_copies_no_objects():
    """kopf's default copies them at each event, for handlers that are not used here."""
    storage = kopf_settings().persistence.diffbase_storage
    assert (storage.build(body=JOB, extra_fields=[]), storage.fetch(body=JOB)) == ({}, None)
    assert storage.store(body=JOB, patch={}, essence={}) is None


class Silent:
    async def versions(self, *_, **__):
        await asyncio.Event().wait()


@pytest.fixture
async def kopf_given(monkeypatch):
    """What kopf is started with. It ends at once, with or without a stop; signal handlers stay those of the tests."""
    given = {"stops": True}

    async def spawn_tasks(**how):
        given.update(how)
        if given["stops"]:
            how["stop_flag"].set()
        return ()

    async def run_tasks(tasks, *, ignored):
        pass

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(kopf, "run_tasks", run_tasks)
    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", lambda *_: None, raising=False)
    return given


async def lead() -> None:
    async with asyncio.timeout(DRAIN_SECONDS / 2):  # there is nothing to wait for
        await Controller(OperatorSettings(), Silent(), clock=lambda: 0.0, chance=lambda: 0.0).run()


async def test_kopf_runs_with_the_operators_settings(kopf_given):
    await lead()
    assert isinstance(kopf_given["memories"], NothingToRemember)
    assert isinstance(kopf_given["settings"].persistence.diffbase_storage, NothingToCompare)


async def test_an_end_without_a_signal_is_an_error(kopf_given):
    kopf_given["stops"] = False
    with pytest.raises(RuntimeError, match="kopf ended without a signal to stop"):
        await lead()


def test_the_settings_that_guard_against_known_pitfalls():
    settings = kopf_settings()
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.watching.inactivity_timeout < settings.watching.server_timeout < settings.watching.client_timeout
    assert settings.process.ultimate_exiting_timeout < 30
    assert list(settings.watching.label_selectors.values()) == ["tunewright.io/job-uid"] * len(CHILDREN)
    assert isinstance(settings, kopf.OperatorSettings)


@pytest.mark.parametrize(
    ("warned", "how"),
    [
        (False, {"namespaces": [f"team-{number}" for number in range(30)]}),
        (True, {"namespaces": [f"team-{number}" for number in range(31)]}),
        (False, {"namespaces": [f"team-{number}" for number in range(31)], "read_cluster": True}),
    ],
)
def test_many_watches_are_reported_with_the_way_out(caplog, warned, how):
    log_scope(OperatorSettings(**how))
    assert ("31 namespaces need 310 watches: set rbac.readCluster=true" in caplog.text) == warned
