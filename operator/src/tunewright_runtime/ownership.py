"""Ownership of objects, by controller references only: any user can write names and labels."""

from collections.abc import Iterable, Sequence
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
