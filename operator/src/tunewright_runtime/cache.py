"""The cache of objects, filled by watches, lists and the operator's own writes: primary objects, and objects with their uid.

Promises: an older version never replaces a newer one or restores a deleted object (resourceVersions of one kind are numbers that grow,
KEP-5504); one object for each name; an object that a reader got never changes. It sends no requests: `cache_sync.py` checks that it is
complete.

Objects are stored without unread fields. The last few that were stored or read are dictionaries, because a reconcile reads them several
times. The others are JSON, compressed relative to the first object of their kind.
"""

import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from sys import intern
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from tunewright_runtime.objects import Key, Manifest, ObjectRef, Scheme, controller, ref_of

SAMPLE_BYTES = 32_000  # zlib's window
REMEMBERED_DELETIONS = 20_000  # older news arrives within seconds of the newer
WITHOUT_FRAME = -zlib.MAX_WBITS  # saves ten bytes of header and checksum for each object
KEPT_OPEN = 256  # objects: enough for eight workers
KEPT_OPEN_BYTES = 4 * 2**20  # of their JSON: as dictionaries they take several times as much


class Entry(NamedTuple):
    """One object."""

    version: int
    owner: str  # uid of the primary object: its own, or its owner's
    size: int  # bytes of its JSON
    label: str  # the name of its primary object, if its kind is looked up by it
    packed: bytes = b""  # all but its version; empty until the object is closed for the first time


class Cache:
    """For one event loop; nothing in it is thread-safe. `trim` returns the fields of an object (by its kind) to keep."""

    def __init__(self, scheme: Scheme, *, trim: Callable[[str, Manifest], dict[str, Any]] = lambda _, item: dict(item)) -> None:
        self.scheme = scheme
        self._trim = trim
        self._entries: dict[ObjectRef, Entry] = {}
        self._children: dict[str, dict[ObjectRef, None]] = {}  # uid of a primary object -> its children, in the order of their arrival
        self._named: dict[tuple[str, str, str], dict[ObjectRef, None]] = {}  # kind, namespace and label -> the objects
        self._keys: dict[str, Key] = {}  # uid of a primary object -> its address
        self._deleted: dict[ObjectRef, int] = {}
        self._samples: dict[str, bytes] = {}  # kind -> its first object, the dictionary for compressing the others
        self._open: dict[ObjectRef, Manifest] = {}  # recently read objects, the latest at the end
        self._open_bytes = 0

    def put(self, item: Manifest, kind: str = "") -> bool:
        """Store an object as returned by the API server. One without a primary object (any more) is not stored.

        Returns whether a kept field has changed, and not only the version.
        """
        ref, meta = ref_of(item, kind), item["metadata"]
        # Strings that many objects share are stored once.
        ref, version = ObjectRef(intern(ref.kind), intern(ref.namespace), ref.name), int(meta["resourceVersion"])
        owner = intern(str(meta["uid"] if ref.kind == self.scheme.primary else self._label(item, self.scheme.uid_label)))
        if not owner:
            return self.remove(ref, version)
        if version <= self.version(ref):
            return False
        before, known = self._entries.get(ref), self._open.get(ref)
        whole = {"apiVersion": self.scheme.resources[ref.kind].api_version, "kind": ref.kind, **self._trim(ref.kind, item)}
        whole["metadata"] = {**whole["metadata"], "resourceVersion": meta["resourceVersion"]}
        if before is not None and known is None:
            known = self._unpack(ref.kind, before)
        changed = before is None or known is None or before.owner != owner or _without_version(known) != _without_version(whole)
        self._drop(ref)
        self._deleted.pop(ref, None)
        label = intern(self._label(item, self.scheme.name_label)) if ref.kind in self.scheme.found_by_name else ""
        self._entries[ref] = Entry(version, owner, len(to_json(whole)), label)
        if label:
            self._named.setdefault((ref.kind, ref.namespace, label), {})[ref] = None
        if ref.kind == self.scheme.primary:
            self._keys[owner] = ref.key
        else:
            self._children.setdefault(owner, {})[ref] = None
        self._keep_open(ref, whole)
        return changed

    def remove(self, ref: ObjectRef, version: int) -> bool:
        """Record that the object was deleted at `version`. Returns whether that was news."""
        if version < self.version(ref):
            return False
        known = self._drop(ref)
        self._deleted.pop(ref, None)
        self._deleted[ref] = version  # the latest are kept
        if len(self._deleted) > REMEMBERED_DELETIONS:
            del self._deleted[next(iter(self._deleted))]
        return known

    def get(self, ref: ObjectRef) -> Manifest | None:
        """Return an object, or None."""
        return self._opened(ref) if ref in self._entries else None

    def primary(self, key: Key) -> Manifest | None:
        """Return a primary object, or None."""
        return self.get(ObjectRef(self.scheme.primary, *key))

    def children(self, uid: str) -> Sequence[Manifest]:
        """Return all objects with a primary object's uid."""
        return [self._opened(ref) for ref in self._children.get(uid, ())]

    def named(self, kind: str, namespace: str, label: str) -> Sequence[Manifest]:
        """Return the objects of a kind whose label names a primary object, also an earlier one of the same name."""
        return [self._opened(ref) for ref in self._named.get((kind, namespace, label), ())]

    def version(self, ref: ObjectRef) -> int:
        """Return the version at which an object was last stored or deleted; 0 if neither is known."""
        entry = self._entries.get(ref)
        return self._deleted.get(ref, 0) if entry is None else entry.version

    def versions(self, kind: str) -> Iterator[tuple[ObjectRef, int]]:
        """Yield the objects of a kind with their versions."""
        return ((ref, entry.version) for ref, entry in self._entries.items() if ref.kind == kind)

    def primary_keys(self) -> Sequence[Key]:
        """Return the addresses of all primary objects."""
        return list(self._keys.values())

    def owner_of(self, child: Manifest) -> Key | None:
        """Return the key to reconcile when a child changes: its own primary object, or a later one of that name, which may wait for it.

        The name is that of the child's owner. A child that lost its owner has it in a label.
        """
        key = self._keys.get(self._label(child, self.scheme.uid_label))
        if key is not None:
            return key
        owner, primary = controller(child), self.scheme.primary
        name = str(owner.get("name", "")) if owner.get("kind") == primary else self._label(child, self.scheme.name_label)
        named = Key(str(child["metadata"]["namespace"]), name)
        return named if ObjectRef(primary, *named) in self._entries else None

    def owner_at(self, ref: ObjectRef) -> Key | None:
        """Return the key to reconcile when a cached object changes: itself, or as `owner_of`."""
        if ref not in self._entries:
            return None
        return ref.key if ref.kind == self.scheme.primary else self.owner_of(self._opened(ref))

    def size(self) -> int:
        """Return the number of objects."""
        return len(self._entries)

    @staticmethod
    def _label(item: Manifest, name: str) -> str:
        return str((item["metadata"].get("labels") or {}).get(name, ""))

    def _drop(self, ref: ObjectRef) -> bool:
        entry = self._entries.pop(ref, None)
        if entry is None:
            return False
        if self._open.pop(ref, None) is not None:
            self._open_bytes -= entry.size
        if entry.label:
            _remove(self._named, (ref.kind, ref.namespace, entry.label), ref)
        if ref.kind == self.scheme.primary:
            self._keys.pop(entry.owner, None)
        else:
            _remove(self._children, entry.owner, ref)
        return True

    def _opened(self, ref: ObjectRef) -> Manifest:
        found = self._open.pop(ref, None)
        if found is None:
            return self._keep_open(ref, self._unpack(ref.kind, self._entries[ref]))
        self._open[ref] = found
        return found

    def _keep_open(self, ref: ObjectRef, item: Manifest) -> Manifest:
        """Keep an object as a dictionary, and close the ones that were not used for longest."""
        self._open[ref] = item
        self._open_bytes += self._entries[ref].size
        while len(self._open) > KEPT_OPEN or (self._open_bytes > KEPT_OPEN_BYTES and len(self._open) > 1):
            oldest = next(iter(self._open))
            closed, entry = self._open.pop(oldest), self._entries[oldest]
            self._open_bytes -= entry.size
            self._entries[oldest] = entry if entry.packed else entry._replace(packed=self._pack(oldest.kind, closed))
        return item

    def _pack(self, kind: str, item: Manifest) -> bytes:
        text = to_json(_without_version(item))
        sample = self._samples.setdefault(kind, text[:SAMPLE_BYTES])
        packer = zlib.compressobj(wbits=WITHOUT_FRAME, zdict=sample)
        return packer.compress(text) + packer.flush()

    def _unpack(self, kind: str, entry: Entry) -> Manifest:
        found = from_json(zlib.decompressobj(WITHOUT_FRAME, self._samples[kind]).decompress(entry.packed))
        return {**found, "metadata": {**found["metadata"], "resourceVersion": str(entry.version)}}


def _without_version(item: Manifest) -> dict[str, Any]:
    return {**item, "metadata": {name: value for name, value in item["metadata"].items() if name != "resourceVersion"}}


def _remove(index: dict[Any, dict[ObjectRef, None]], name: Hashable, ref: ObjectRef) -> None:
    """Remove an object from an index, and its entry with the last one."""
    found = index[name]
    del found[ref]
    if not found:
        del index[name]
