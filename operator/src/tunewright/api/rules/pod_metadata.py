"""E022: labels and annotations that a job may not set on its pods, because Kubernetes or Tunewright sets or reads them.

Refused are the domains kubernetes.io and k8s.io with all below them, Tunewright's own, and keys without a domain that controllers set.
Other domains are free, such as those of meshes, cost accounting and policies.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tunewright.api.rules.predicates import Predicate, exists, has, variable
from tunewright.api.rules.table import Rule, pod_rule
from tunewright.api.v1alpha1.pod_settings import PodSettings

_PREFIXED = r"([a-z0-9.-]+[.])?"
REFUSED: tuple[tuple[str, str], ...] = (
    (rf"{_PREFIXED}tunewright[.]io/.*", "Tunewright finds its pods by it"),
    (r"(.*[.])?kueue[.]x-k8s[.]io/.*", "a pod would wait in a second queue; set it in metadata of the job"),
    (rf"{_PREFIXED}(kubernetes|k8s|x-k8s)[.]io/.*", "Kubernetes sets or reads it"),
    (r"job-name|controller-uid|pod-template-hash", "a controller of Kubernetes sets it"),
)
# Read by cluster-autoscaler, by kubectl, and by network plugins.
ALLOWED = r"(cluster-autoscaler|kubectl)[.]kubernetes[.]io/.*|kubernetes[.]io/(ingress|egress)-bandwidth"


def refused_labels(settings: PodSettings) -> list[str]:
    """Return the labels that may not be set, each with the reason."""
    return list(_refused(settings.pod_labels or ()))


def refused_annotations(settings: PodSettings) -> list[str]:
    """Return the annotations that may not be set, each with the reason."""
    return list(_refused(settings.pod_annotations or ()))


def _refused(keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        why = next((why for pattern, why in REFUSED if re.fullmatch(pattern, key)), "")
        if why and not re.fullmatch(ALLOWED, key):
            yield f"{key} ({why})"


def _any_refused(path: str) -> Predicate:
    refused = "^(" + "|".join(pattern for pattern, _ in REFUSED) + ")$"
    key = variable("key")
    return has(path) & exists(path, "key", key.matches(refused) & ~key.matches(f"^({ALLOWED})$"))


RULES: tuple[Rule[Any], ...] = tuple(
    pod_rule(
        code="E022",
        path=path,
        faults=faults,
        refuses="labels and annotations that Kubernetes or Tunewright sets or reads",
        way_out="Remove them, or use a domain of your own, such as example.com/cost-center.",
        broken=_any_refused(path),
    )
    for path, faults in (("podLabels", refused_labels), ("podAnnotations", refused_annotations))
)
