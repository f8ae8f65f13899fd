"""The objects on this machine, stored with the semantics of an API server.

Promises: the store sets `uid`, `creationTimestamp`, `resourceVersion` and `generation`. A changed spec increments the generation, a changed
status does not. Spec and status are written separately. A write is durable, and atomic across processes. Deleting an object deletes its
children. A Pod's deletion is graceful: it is marked, and its supervisor removes it.
Refuses names that are not DNS names, because they become file names. If the disk is full, it reports this and keeps the stored object.
"""

import copy
import errno
import fcntl
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunewright.local.files import read_json, sync_folder, write_json
from tunewright.local.layout import Layout
from tunewright_runtime.errors import Conflict, Invalid, Transient, TunewrightError

Object = dict[str, Any]
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # RFC 1123 subdomain
DEFAULT_GRACE_SECONDS = 30  # Kubernetes' own


def timestamp(moment: datetime) -> str:
    """Format a time as Kubernetes does: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Parse a time that `timestamp` formatted."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


class Store:
    """Objects as JSON files under `layout.objects`. Nothing is cached: several processes may share one home."""

    def __init__(self, layout: Layout, *, clock: Callable[[], datetime]) -> None:
        self._layout = layout
        self._clock = clock
        self._watchers: list[Callable[[Object], None]] = []

    def watch(self, watcher: Callable[[Object], None]) -> None:
        """Call `watcher` with every object that this process writes or deletes, after the write."""
        self._watchers.append(watcher)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        return self._read(self._path(kind, namespace, name))

    def select(self, kind: str = "*", namespace: str = "*") -> list[Object]:
        """Return objects in a stable order."""
        paths = sorted(self._layout.objects.glob(f"{namespace}/{kind}/[a-z0-9]*.json"))
        return [found for path in paths if (found := self._read(path)) is not None]

    def labelled(self, namespace: str, label: str, value: str, kind: str = "*") -> list[Object]:
        """Return the objects with a label."""
        return [found for found in self.select(kind, namespace) if found["metadata"].get("labels", {}).get(label) == value]

    def owned(self, uid: str, kind: str = "*", namespace: str = "*") -> list[Object]:
        """Return the objects that name `uid` as an owner."""
        return [found for found in self.select(kind, namespace) if uid in owners(found)]

    def descendants(self, uid: str, namespace: str) -> list[Object]:
        """Return all descendants of `uid` by owner reference, parents first."""
        found: list[Object] = []
        rest = self.select(namespace=namespace)
        generation = {uid}
        while generation:
            below = [item for item in rest if owners(item) & generation]
            rest = [item for item in rest if not owners(item) & generation]
            found += below
            generation = {item["metadata"]["uid"] for item in below}
        return found

    def create(self, manifest: Object) -> Object:
        """Store a new object and return it as stored. Raises Conflict if the name exists."""
        created = copy.deepcopy(dict(manifest))
        created.setdefault("metadata", {}).setdefault("namespace", "default")
        created.pop("status", None)
        created["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": timestamp(self._clock()),
        }
        path = self._path_of(created)
        with self._locked():
            if path.exists():
                raise Conflict(f"{path.parent.name} {path.stem} exists already")
            self._write(path, created)
        self._tell(created)
        return created

    def change(self, kind: str, namespace: str, name: str, change: Callable[[Object], None]) -> Object | None:
        """Change everything but the status, under the lock. Returns the object as stored, or None if there is none."""
        return self._change(kind, namespace, name, change, status=False)

    def change_status(self, kind: str, namespace: str, name: str, change: Callable[[Object], None]) -> Object | None:
        """Change the status only, under the lock. `change` gets the whole object; its changes outside the status are dropped."""
        return self._change(kind, namespace, name, change, status=True)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and its dependents. A Pod is only marked; `remove_pod` removes it after its processes have ended."""
        if kind == "Pod":
            self.change(kind, namespace, name, self._mark_deleted)
            return
        path = self._path(kind, namespace, name)
        with self._locked():
            gone = self._read(path)
            self._unlink(path)
        if gone is not None:
            self._tell(gone)
            self.collect(namespace)

    def remove_pod(self, namespace: str, name: str) -> None:
        """Remove a Pod whose processes have ended."""
        path = self._path("Pod", namespace, name)
        with self._locked():
            gone = self._read(path)
            self._unlink(path)
        if gone is not None:
            self._tell(gone)

    def collect(self, namespace: str) -> None:
        """Delete every object whose owners are all gone, as the garbage collector does."""
        existing = self.select(namespace=namespace)
        alive = {item["metadata"]["uid"] for item in existing}
        for item in existing:
            if owners(item) and not owners(item) & alive and "deletionTimestamp" not in item["metadata"]:
                self.delete(item["kind"], namespace, item["metadata"]["name"])

    def _change(self, kind: str, namespace: str, name: str, change: Callable[[Object], None], *, status: bool) -> Object | None:
        path = self._path(kind, namespace, name)
        with self._locked():
            before = self._read(path)
            if before is None:
                return None
            wanted = copy.deepcopy(before)
            change(wanted)
            after = before | {"status": wanted.get("status", {})} if status else wanted | {"status": before.get("status", {})}
            if not after["status"]:
                del after["status"]
            if after == before:
                return before
            meta = after["metadata"] = dict(after["metadata"])
            meta["resourceVersion"] = str(int(before["metadata"]["resourceVersion"]) + 1)
            if after.get("spec") != before.get("spec"):
                meta["generation"] = before["metadata"]["generation"] + 1
            self._write(path, after)
        self._tell(after)
        return after

    def _mark_deleted(self, pod: Object) -> None:
        if "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"]["deletionTimestamp"] = timestamp(self._clock())
            pod["metadata"]["deletionGracePeriodSeconds"] = pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)

    def _path_of(self, manifest: Object) -> Path:
        return self._path(manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])

    def _path(self, kind: str, namespace: str, name: str) -> Path:
        for text in (namespace, name):
            if not NAME.fullmatch(text):
                raise Invalid(f"{text!r} is not a DNS name: at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends")
        return self._layout.objects / namespace / kind / f"{name}.json"

    def _read(self, path: Path) -> Object | None:
        try:
            found: Object | None = read_json(path)
        except ValueError as error:
            raise TunewrightError(f"{path} is not JSON ({error}); it was edited, or the disk is failing. Remove the file") from error
        return found

    def _write(self, path: Path, value: Object) -> None:
        try:
            write_json(path, value)
        except OSError as error:
            raise Transient(f"could not store {path.parent.name} {path.stem}: {explain(error, self._layout.home)}") from error

    @staticmethod
    def _unlink(path: Path) -> None:
        if path.exists():
            path.unlink()
            sync_folder(path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._layout.objects.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._layout.objects / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Transient(f"could not lock the objects: {explain(error, self._layout.home)}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _tell(self, changed: Object) -> None:
        for watcher in self._watchers:
            watcher(changed)


def owners(item: Object) -> set[str]:
    """Return the uids of an object's owners."""
    return {reference["uid"] for reference in item["metadata"].get("ownerReferences", ())}


def explain(error: OSError, home: Path) -> str:
    """Return a failed write's error in words for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {home}. What was stored before is intact; free some space, or set TUNEWRIGHT_HOME to another disk"
    return f"{error.strerror or error} ({error.filename or home})"
