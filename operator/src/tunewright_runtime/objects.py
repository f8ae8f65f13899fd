"""Types for Kubernetes objects: key, reference and manifest."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Manifest = Mapping[str, Any]
"""A Kubernetes object as JSON, rendered or as stored. Not to be changed."""


class Key(NamedTuple):
    """The address of an object whose kind is known: what a queue holds."""

    namespace: str
    name: str


class ObjectRef(NamedTuple):
    """The address of an object. Two objects never have the same one at the same time."""

    kind: str
    namespace: str
    name: str

    @property
    def key(self) -> Key:
        """Return the address without the kind."""
        return Key(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def ref_of(manifest: Manifest, kind: str = "") -> ObjectRef:
    """Return an object's address. `kind` is for the items of a list, which do not name it."""
    meta = manifest["metadata"]
    return ObjectRef(kind or str(manifest["kind"]), str(meta["namespace"]), str(meta["name"]))
