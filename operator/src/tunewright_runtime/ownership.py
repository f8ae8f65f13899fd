"""Ownership and pruning of objects, by controller references only: any user can write names and labels."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from tunewright_runtime.objects import Manifest


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
