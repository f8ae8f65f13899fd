"""Children that are not rendered any more. Only what this very job controls: neither a predecessor's, nor a retained claim."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunewright.kube.ownership import controller


def doomed(live: Iterable[Mapping[str, Any]], rendered: Sequence[Mapping[str, Any]], *, uid: str) -> Sequence[Mapping[str, Any]]:
    """Return the objects to delete."""
    wanted = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered}
    return [
        item
        for item in live
        if controller(item).get("uid") == uid
        and (item["kind"], item["metadata"]["name"]) not in wanted
        and not item["metadata"].get("deletionTimestamp")
    ]
