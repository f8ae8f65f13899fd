"""`spec.workers.affinity`: Kubernetes' own affinity, field for field, within bounds.

Source: the Kubernetes API, core/v1 Affinity, and meta/v1 LabelSelector.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import DnsLabel, Items, LabelKey, LabelValue, Spec

Weight = Annotated[int, Field(ge=1, le=100)]
Value = Annotated[str, StringConstraints(max_length=63)]
_FEW: Any = Field(max_length=16)


class NodeRequirement(Spec):
    """One requirement on a node's labels or fields."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: Annotated[Items[Value], Field(max_length=64)] | None = None


class NodeSelectorTerm(Spec):
    """Requirements that must all be met."""

    match_expressions: Annotated[Items[NodeRequirement], _FEW] | None = None
    match_fields: Annotated[Items[NodeRequirement], _FEW] | None = None


class NodeSelector(Spec):
    """Terms, at least one of which must be met."""

    node_selector_terms: Annotated[Items[NodeSelectorTerm], Field(min_length=1, max_length=16)]


class PreferredNodes(Spec):
    """A term with its weight."""

    weight: Weight
    preference: NodeSelectorTerm


class NodeAffinity(Spec):
    """Affinity to nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[Items[PreferredNodes], _FEW] | None = None


class LabelRequirement(Spec):
    """One requirement on labels."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[Items[Value], Field(max_length=64)] | None = None


class LabelSelector(Spec):
    """Selects objects by their labels."""

    match_labels: Annotated[dict[LabelKey, LabelValue], _FEW] | None = None
    match_expressions: Annotated[Items[LabelRequirement], _FEW] | None = None


class PodAffinityTerm(Spec):
    """Selects pods, and the topology that counts as the same place."""

    label_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    namespaces: Annotated[Items[DnsLabel], _FEW] | None = None
    topology_key: LabelKey
    match_label_keys: Annotated[Items[LabelKey], _FEW] | None = None
    mismatch_label_keys: Annotated[Items[LabelKey], _FEW] | None = None


class PreferredPods(Spec):
    """A term with its weight."""

    weight: Weight
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Spec):
    """Affinity to pods, or anti-affinity."""

    required_during_scheduling_ignored_during_execution: Annotated[Items[PodAffinityTerm], _FEW] | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[Items[PreferredPods], _FEW] | None = None


class Affinity(Spec):
    """Kubernetes' own affinity."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None

    def wire(self) -> dict[str, Any]:
        """Return the Kubernetes object."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
