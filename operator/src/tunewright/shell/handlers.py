"""What is done with each object of kopf's lists and watches: it is put into the cache and, if needed, one key into the queue.

kopf calls the handlers with the objects of lists; the session takes those of watches, which are many (session.py). Neither raises, because
an error would end the watch. Only `on.event` is used: the state-changing handlers (create, update, delete, timers, daemons) write
annotations and finalizers to every object.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import kopf

from tunewright.kube.kinds import FINE_TUNE_JOB, RESOURCES, WATCHED
from tunewright.observe.raw import label, part, text
from tunewright.plan.label_names import JOB_NAME
from tunewright.reconcile.reconcile import RESTING
from tunewright.shell.kopf_settings import PAGE
from tunewright.shell.session import session_of
from tunewright_runtime.cache_sync import EventHandler
from tunewright_runtime.connection import connection
from tunewright_runtime.objects import Key

Wake = Callable[[Key], None]

log = logging.getLogger(__name__)


def registry_of(
    events: EventHandler, wake: Wake, *, wake_soon: Wake | None = None, wake_routinely: Wake | None = None
) -> kopf.OperatorRegistry:
    """Return the handlers. `wake` is called with the key of each job that has changed itself, `wake_soon` when a child has.

    `wake_routinely` is called for objects of the first list: children, and idle jobs. Both default to `wake`.
    """
    registry = kopf.OperatorRegistry()

    def take(kind: str, event: Mapping[str, Any]) -> None:
        listed = _is_listed(event)
        if kind == FINE_TUNE_JOB:
            at_rest = listed and text(part(event, "object"), "status", "phase") in RESTING
            chosen = wake_routinely if at_rest else wake
            _total(kind, event, chosen or wake, lambda: events.on_primary(event["type"], event["object"]))
        else:
            chosen = wake_routinely if listed else wake_soon
            _total(kind, event, chosen or wake, lambda: events.on_child(kind, event["type"], event["object"]))

    def on(kind: str) -> Callable[..., Any]:
        async def on_event(event: Mapping[str, Any], **_: Any) -> None:
            take(kind, event)

        return on_event

    async def log_in(**_: Any) -> kopf.AiohttpSession:
        reached = connection()
        info = kopf.ConnectionInfo(
            server=reached.server,
            ca_path=reached.ca_file,
            certificate_path=reached.certificate_file,
            private_key_path=reached.key_file,
            token=reached.token,
            scheme="Bearer" if reached.token else None,
            insecure=reached.insecure,
        )
        return session_of(info, page=PAGE, take=take)

    for kind in WATCHED:
        # No filter by label: the API server has filtered, and an object that lost its label must leave the cache.
        kopf.on.event(*_selector(kind), id=f"on_{kind.lower()}", registry=registry)(on(kind))
    kopf.on.login(registry=registry)(log_in)
    return registry


def _is_listed(event: Mapping[str, Any]) -> bool:
    """Return whether an event comes from the list before the watch. kopf calls the handlers for both."""
    return event.get("type") is None


def _total(kind: str, event: Mapping[str, Any], wake: Callable[[Key], None], find: Callable[[], Key | None]) -> None:
    """Find the job that an event concerns and queue it. Never raises, because that would end the watch (K22).

    If the event cannot be read, the job that it names is queued anyway.
    """
    item = part(event, "object")
    try:
        key = find()
    except Exception:
        log.exception("an event of %s %s/%s could not be read", kind, *_place(item))
        key = _named(kind, item)
    try:
        if key is not None:
            wake(key)
    except Exception:
        log.exception("%s was not queued for %s %s/%s", key, kind, *_place(item))


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    return text(item, "metadata", "namespace"), text(item, "metadata", "name")


def _named(kind: str, item: Mapping[str, Any]) -> Key | None:
    """Return the job that an object names, if it does; that job may not exist."""
    namespace, name = _place(item)
    job = name if kind == FINE_TUNE_JOB else label(item, JOB_NAME)
    return Key(namespace, job) if namespace and job else None


def _selector(kind: str) -> tuple[str, str, str]:
    group, _, version = RESOURCES[kind].api_version.rpartition("/")
    return group, version, RESOURCES[kind].plural
