"""Label selectors, as Kubernetes evaluates them."""

from collections.abc import Mapping
from typing import Any


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a selector with `matchLabels` and expressions of `In` matches labels."""
    expressions = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in expressions)
    alike = selector.get("matchLabels", {}).items() <= labels.items()
    return alike and all(labels.get(one["key"]) in one["values"] for one in expressions)
