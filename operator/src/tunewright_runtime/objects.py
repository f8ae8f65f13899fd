"""Types for Kubernetes objects: key, reference and manifest, and the kinds that one operator reads and writes.

Ownership and pruning go by controller references only: any user can write names and labels.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Manifest = Mapping[str, Any]
"""A Kubernetes object as JSON, rendered or as stored. Do not modify it."""


class Key(NamedTuple):
    """The namespace and name of an object of a known kind: the queue's keys."""

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


class Resource(NamedTuple):
    """The API path of a kind."""

    api_version: str  # group/version, as in a manifest
    plural: str
    namespaced: bool = True


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """The kinds of one operator. Objects of the primary kind are reconciled; their children carry `uid_label`."""

    resources: Mapping[str, Resource]
    primary: str
    rendered: tuple[str, ...]  # kinds of children that the operator creates
    made_by_controllers: tuple[str, ...]  # kinds that Kubernetes' controllers create for those
    uid_label: str  # on each child: the uid of its primary object
    name_label: str  # on each child: the name of its primary object, if it is a valid label
    found_by_name: tuple[str, ...] = ()  # kinds of children that are looked up by this label
    field_manager: str  # the name under which the operator applies
    unreadable_field: str  # of an object that could only be decoded in part: the reason

    @property
    def children(self) -> tuple[str, ...]:
        """Return the kinds of children, at any depth."""
        return (*self.rendered, *self.made_by_controllers)

    @property
    def watched(self) -> tuple[str, ...]:
        """Return every kind to watch: all, so that manual edits and deletions are reverted at once."""
        return (self.primary, *self.children)

    @property
    def primary_plural(self) -> str:
        """Return the primary kind as the API server's paths and messages name it."""
        return self.resources[self.primary].plural

    def selector(self, kind: str) -> str:
        """Return the label selector for lists and watches of a kind; empty: all objects."""
        return "" if kind == self.primary else self.uid_label

    def path(self, kind: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of a kind, of one of its objects, or of a subresource. An empty namespace means all of them."""
        resource = self.resources[kind]
        root = "/api/" if "/" not in resource.api_version else "/apis/"
        within = f"/namespaces/{namespace}" if resource.namespaced and namespace else ""
        rest = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{resource.api_version}{within}/{resource.plural}{rest}"


def controller(item: Manifest) -> dict[str, Any]:
    """Return the owner reference of an object's controller, or an empty one."""
    references = item["metadata"].get("ownerReferences", ())
    return next((reference for reference in references if reference.get("controller")), {})


def descendants(items: Iterable[Manifest], uid: str) -> Sequence[Manifest]:
    """Return those objects that `uid` owns, at any depth, in the given order."""
    items = list(items)
    known = {uid}
    while True:
        more = {str(item["metadata"]["uid"]) for item in items if controller(item).get("uid") in known} - known
        if not more:
            return [item for item in items if controller(item).get("uid") in known]
        known |= more


def to_prune(
    live: Iterable[Manifest],
    rendered: Sequence[Manifest],
    *,
    uid: str,
    mounted_config_maps: Callable[[Iterable[Manifest]], Collection[str]],
) -> Sequence[Manifest]:
    """Return the objects to delete. `mounted_config_maps` returns the names of the ConfigMaps that some objects mount."""
    live = [item for item in live if controller(item).get("uid") == uid and not item["metadata"].get("deletionTimestamp")]
    wanted = {_address(manifest) for manifest in rendered}
    unwanted = [item for item in live if _address(item) not in wanted]
    mounted = mounted_config_maps(item for item in live if item not in unwanted)
    return [item for item in unwanted if item["kind"] != "ConfigMap" or item["metadata"]["name"] not in mounted]


def _address(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
