"""Selects the children to delete because they are no longer rendered. Only children of this owner are deleted.

A ConfigMap that a Job mounts stays, because a pod of that Job may still have to start.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from tunewright_runtime.objects import Manifest
from tunewright_runtime.ownership import controller


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
