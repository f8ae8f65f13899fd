"""The kinds that an operator reads and writes, their API paths, and the labels of its objects.

A fixed table replaces discovery. Discovery costs a round trip per API group at each start, keeps its cache in a shared temporary folder,
and would only find kinds that no code here reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Resource(NamedTuple):
    """Where the API server has a kind."""

    api_version: str  # group/version, as in a manifest
    plural: str
    namespaced: bool = True


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """The kinds of one operator. Objects of the primary kind are reconciled; their children carry `uid_label`."""

    resources: Mapping[str, Resource]
    primary: str
    rendered: tuple[str, ...]  # kinds of children that the operator makes
    made_by_controllers: tuple[str, ...]  # kinds that Kubernetes' controllers make of those
    uid_label: str  # on each child: the uid of its primary object
    field_manager: str  # the name under which the operator applies
    unreadable_field: str  # of an object that could only be decoded in part: the reason

    @property
    def children(self) -> tuple[str, ...]:
        """Return the kinds of children, at any depth."""
        return (*self.rendered, *self.made_by_controllers)

    @property
    def watched(self) -> tuple[str, ...]:
        """Return every kind to watch: all, so that what is edited or deleted by hand is repaired at once."""
        return (self.primary, *self.children)

    @property
    def primary_plural(self) -> str:
        """Return the primary kind as the API server's paths and messages name it."""
        return self.resources[self.primary].plural

    def selector(self, kind: str) -> str:
        """Return the label selector of what is listed and watched of a kind; empty: all objects."""
        return "" if kind == self.primary else self.uid_label

    def path(self, kind: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of a kind, of one of its objects, or of a part of that. An empty namespace means all of them."""
        resource = self.resources[kind]
        root = "/api/" if "/" not in resource.api_version else "/apis/"
        within = f"/namespaces/{namespace}" if resource.namespaced and namespace else ""
        rest = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{resource.api_version}{within}/{resource.plural}{rest}"
