"""Copies of one complete job, written straight into etcd: thousands with all their children in two minutes; real ones take half an hour.

A copy is what the API server has stored of the job and its children, byte by byte, but for the name, the UIDs, and the two digests that
follow from them. Each is replaced by one of the same length, so that what is stored as protobuf stays valid. Events are left out: an hour
later they are gone anyway.
"""

import base64
import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, NamedTuple

import urllib3

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.names import revision_of

ROOT, EVENTS = b"/registry/", b"/registry/events/"
HANDS = 4
QUIET_SECONDS = 2.0
UID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CONFIG = re.compile(rb"\n\x0bconfig\.json\x12[\x80-\xff]*[\x00-\x7f](\{.*\}\n)", re.DOTALL)  # an entry of a ConfigMap: name, length, text


class Stored(NamedTuple):
    """One object, as etcd has it."""

    key: bytes
    value: bytes


class Etcd:
    """etcd's JSON gateway, without TLS."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=HANDS)
        self._hands = ThreadPoolExecutor(HANDS)

    def under(self, prefix: bytes) -> list[Stored]:
        """Return everything whose key begins so."""
        end = prefix[:-1] + bytes([prefix[-1] + 1])
        found = self._ask("range", {"key": _text(prefix), "range_end": _text(end)}).get("kvs", [])
        return [Stored(base64.b64decode(each["key"]), base64.b64decode(each["value"])) for each in found]

    def put(self, objects: Iterable[Stored]) -> None:
        """Store them, each at a revision of its own: of several at one, the API server's watches may show some and not the others."""
        list(self._hands.map(lambda one: self._ask("put", {"key": _text(one.key), "value": _text(one.value)}), objects))

    def _ask(self, what: str, body: Any) -> Any:
        answer = self._pool.request("POST", f"{self._url}/v3/kv/{what}", body=json.dumps(body))
        if answer.status != 200:
            raise RuntimeError(f"etcd, {what}: {answer.status} {answer.data[:500]!r}")
        return json.loads(answer.data)


class Original:
    """A complete job and what is below it, as of when nothing in it has changed for a while."""

    def __init__(self, etcd: Etcd, namespace: str, name: str) -> None:
        self._etcd, self._name = etcd, name.encode()
        mine = re.compile(rb"/%b/%b(?![0-9a-z])" % (namespace.encode(), self._name))
        stored: list[Stored] = []
        while stored != (now := [one for one in etcd.under(ROOT) if mine.search(one.key) and not one.key.startswith(EVENTS)]):
            stored = now
            time.sleep(QUIET_SECONDS)
        (self._job,) = (one for one in stored if b"/finetunejobs/" in one.key)
        self._below = [one for one in stored if one is not self._job]
        self._configs = [text for one in stored if b"/configmaps/" in one.key for text in CONFIG.findall(one.value)]

    def copy_jobs(self, names: Sequence[str]) -> None:
        """Store a job under each name."""
        self._etcd.put(self._renamer(name)(self._job) for name in names)

    def copy_what_is_below(self, names: Sequence[str]) -> None:
        """Store what is below each of these jobs. It may be there before them."""
        for renamed in map(self._renamer, names):
            self._etcd.put(renamed(one) for one in self._below)

    def _renamer(self, name: str) -> Callable[[Stored], Stored]:
        """Return what makes one object that of the job of this name."""
        if len(name) != len(self._name):
            raise ValueError(f"{name} is not as long as {self._name.decode()}")
        words = {self._name: name.encode()}

        def renamed(text: bytes) -> bytes:
            text = UID.sub(lambda found: str(uuid.uuid5(uuid.UUID(found[0].decode()), name)).encode(), text)
            for old, new in words.items():
                text = text.replace(old, new)
            return text

        words[_revision(self._job.value)] = _revision(renamed(self._job.value))
        words |= {_digest(config): _digest(renamed(config)) for config in self._configs}
        return lambda one: Stored(renamed(one.key), renamed(one.value))


def _revision(job: bytes) -> bytes:
    return revision_of(FineTuneJob.model_validate_json(job)).encode()


def _digest(config: bytes) -> bytes:
    """Return what the ConfigMap's name ends with (render/volumes.py)."""
    return sha256(config).hexdigest()[:8].encode()


def _text(binary: bytes) -> str:
    return base64.b64encode(binary).decode()
