"""What the cluster holds, as far as watches, lists and our own writes have told: every FineTuneJob, and whatever bears a job's uid.

Promises: an older word never replaces a newer one, nor brings back what was deleted (resourceVersions of one kind are numbers that grow,
KEP-5504); one object for each name; what a reader gets never changes. It asks nobody: whether it is complete is for `survey.py` to say.

Objects are kept as JSON without what no reader needs, compressed by what they have in common with the first of their kind. The few that
were read last are kept open besides, for one reconcile reads them several times.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple

from tunewright.kube.kinds import FINE_TUNE_JOB, PLACES
from tunewright.kube.ownership import controller
from tunewright.kube.trimming import trimmed
from tunewright.plan.label_names import JOB_UID

Object = Mapping[str, Any]
Key = tuple[str, str]  # namespace, name; reconcile.ports.Key is one
SAMPLE_BYTES = 32_000  # as far as zlib looks back
REMEMBERED_DELETIONS = 20_000  # an older word arrives within seconds of the newer one
WITHOUT_FRAME = -zlib.MAX_WBITS  # header and checksum are ten bytes of each, and memory needs neither
KEPT_OPEN = 256  # objects: those of the jobs that eight workers look at
KEPT_OPEN_BYTES = 4 * 2**20  # of their JSON: as dictionaries they take several times as much


class Place(NamedTuple):
    """Where an object stands: nothing else ever stands there at the same time."""

    kind: str
    namespace: str
    name: str


class Entry(NamedTuple):
    """One object."""

    version: int
    job: str  # uid of the FineTuneJob it is or belongs to
    packed: bytes  # all but its version
    size: int  # bytes of its JSON


class Cache:
    """For one event loop; nothing in it is thread-safe."""

    def __init__(self) -> None:
        self._entries: dict[Place, Entry] = {}
        self._children: dict[str, dict[Place, None]] = {}  # uid of a job -> its children, in the order of their arrival
        self._keys: dict[str, Key] = {}  # uid of a job -> where it is
        self._deleted: dict[Place, int] = {}
        self._samples: dict[str, bytes] = {}  # kind -> the first object of it, which the others are compressed with
        self._open: dict[Place, Object] = {}  # what was read last, the latest at the end
        self._open_bytes = 0

    def put(self, item: Mapping[str, Any], kind: str = "") -> bool:
        """Take what the API server has said of an object. What belongs to no job (any more) is not kept.

        Returns whether a reader would see more than another version: much that happens to an object is nothing to us.
        """
        kind = kind or str(item["kind"])
        meta = item["metadata"]
        # What many objects have in common is kept once.
        place, version = Place(intern(kind), intern(str(meta["namespace"])), str(meta["name"])), int(meta["resourceVersion"])
        job = intern(str(meta["uid"] if kind == FINE_TUNE_JOB else (meta.get("labels") or {}).get(JOB_UID, "")))
        if not job:
            return self.remove(place, version)
        if version <= self.version(place):
            return False
        before, (packed, size) = self._entries.get(place), self._pack(kind, item)
        self._drop(place)
        self._deleted.pop(place, None)
        self._entries[place] = Entry(version, job, packed, size)
        if kind == FINE_TUNE_JOB:
            self._keys[job] = (place.namespace, place.name)
        else:
            self._children.setdefault(job, {})[place] = None
        return before is None or (before.job, before.packed) != (job, packed)

    def remove(self, place: Place, version: int) -> bool:
        """Take the word that nothing stands there as of `version`. Returns whether that was news."""
        if version < self.version(place):
            return False
        known = self._drop(place)
        self._deleted.pop(place, None)
        self._deleted[place] = version  # the latest are kept
        if len(self._deleted) > REMEMBERED_DELETIONS:
            del self._deleted[next(iter(self._deleted))]
        return known

    def get(self, place: Place) -> Object | None:
        """Return an object, or None where none is known."""
        return self._opened(place) if place in self._entries else None

    def job(self, key: Key) -> Object | None:
        """Return a FineTuneJob, or None."""
        return self.get(Place(FINE_TUNE_JOB, *key))

    def children(self, uid: str) -> Sequence[Object]:
        """Return everything that bears a job's uid."""
        return [self._opened(place) for place in self._children.get(uid, ())]

    def version(self, place: Place) -> int:
        """Return as of when something is known of a place; 0 when nothing is."""
        entry = self._entries.get(place)
        return self._deleted.get(place, 0) if entry is None else entry.version

    def places(self, kind: str) -> Iterator[tuple[Place, int]]:
        """Yield where objects of a kind stand, and as of when."""
        return ((place, entry.version) for place, entry in self._entries.items() if place.kind == kind)

    def jobs(self) -> Sequence[Key]:
        """Return where the FineTuneJobs are."""
        return list(self._keys.values())

    def whose(self, child: Mapping[str, Any]) -> Key | None:
        """Return the job that is to hear of a child: its own, or the one of the same name that waits for the child's end; None: nobody."""
        meta = child["metadata"]
        key = self._keys.get(str((meta.get("labels") or {}).get(JOB_UID, "")))
        if key is not None:
            return key
        owner = controller(child)
        named = (str(meta["namespace"]), str(owner.get("name", "")))
        return named if owner.get("kind") == FINE_TUNE_JOB and Place(FINE_TUNE_JOB, *named) in self._entries else None

    def at(self, place: Place) -> Key | None:
        """Return the job that is to hear of a change at a place."""
        entry = self._entries.get(place)
        return None if entry is None else self._keys.get(entry.job)

    def size(self) -> int:
        """Return how many objects are known."""
        return len(self._entries)

    def _drop(self, place: Place) -> bool:
        entry = self._entries.pop(place, None)
        if entry is None:
            return False
        if self._open.pop(place, None) is not None:
            self._open_bytes -= entry.size
        if place.kind == FINE_TUNE_JOB:
            self._keys.pop(entry.job, None)
        else:
            siblings = self._children[entry.job]
            del siblings[place]
            if not siblings:
                del self._children[entry.job]
        return True

    def _opened(self, place: Place) -> Object:
        entry, found = self._entries[place], self._open.pop(place, None)
        if found is None:
            found = self._unpack(place.kind, entry)
            self._open_bytes += entry.size
        self._open[place] = found
        while len(self._open) > KEPT_OPEN or (self._open_bytes > KEPT_OPEN_BYTES and len(self._open) > 1):
            oldest = next(iter(self._open))
            del self._open[oldest]
            self._open_bytes -= self._entries[oldest].size
        return found

    def _pack(self, kind: str, item: Mapping[str, Any]) -> tuple[bytes, int]:
        # The items of a list do not say what they are.
        whole = {"apiVersion": PLACES[kind].api_version, "kind": kind, **trimmed(kind, item)}
        text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
        sample = self._samples.setdefault(kind, text[:SAMPLE_BYTES])
        packer = zlib.compressobj(wbits=WITHOUT_FRAME, zdict=sample)
        return packer.compress(text) + packer.flush(), len(text)

    def _unpack(self, kind: str, entry: Entry) -> Object:
        found = json.loads(zlib.decompressobj(WITHOUT_FRAME, self._samples[kind]).decompress(entry.packed))
        return {**found, "metadata": {**found["metadata"], "resourceVersion": str(entry.version)}}
