"""Children that are not rendered any more. Only what this very job controls: neither a predecessor's, nor a retained claim.

A ConfigMap that a Job mounts stays: a pod of that Job may yet have to start.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunewright.kube.ownership import controller
from tunewright.observe.mounts import mounted_config_maps


def doomed(live: Iterable[Mapping[str, Any]], rendered: Sequence[Mapping[str, Any]], *, uid: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects to delete."""
    live = [item for item in live if controller(item).get("uid") == uid and not item["metadata"].get("deletionTimestamp")]
    unwanted = [item for item in live if _address(item) not in {_address(manifest) for manifest in rendered}]
    mounted = mounted_config_maps(item for item in live if item not in unwanted)
    return [item for item in unwanted if item["kind"] != "ConfigMap" or item["metadata"]["name"] not in mounted]


def _address(manifest: Mapping[str, Any]) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
