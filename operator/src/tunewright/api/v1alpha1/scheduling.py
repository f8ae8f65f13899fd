"""`affinity` and `topologySpreadConstraints` of a stage's pods: Kubernetes' own, field for field, within bounds.

Source: the Kubernetes API, core/v1 Affinity and TopologySpreadConstraint, and meta/v1 LabelSelector.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from tunewright.api.v1alpha1.common import DnsLabel, DnsSubdomain, Items, LabelKey, LabelValue, Spec, without_pattern

Weight = Annotated[int, Field(ge=1, le=100)]
_FEW: Any = Field(max_length=16)
SelectorKey = Annotated[LabelKey, Field(json_schema_extra=without_pattern)]
SelectorValue = Annotated[LabelValue, Field(json_schema_extra=without_pattern)]


class NodeRequirement(Spec):
    """One requirement on a node's labels."""

    key: SelectorKey
    """Name of the label or field."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """Relation of the node's value to `values`."""
    values: Annotated[Items[SelectorValue], Field(max_length=64)] | None = None
    """Values to compare with. None for Exists and DoesNotExist, one whole number for Gt and Lt."""


class NodeFieldRequirement(Spec):
    """One requirement on a node's fields: its name."""

    key: Literal["metadata.name"]
    """Name of the field."""
    operator: Literal["In", "NotIn"]
    """Relation of the node's name to `values`."""
    values: Annotated[Items[DnsSubdomain], Field(min_length=1, max_length=1)]
    """The name of one node."""


class NodeSelectorTerm(Spec):
    """Requirements that must all be met."""

    match_expressions: Annotated[Items[NodeRequirement], _FEW] | None = None
    """Requirements on labels."""
    match_fields: Annotated[Items[NodeFieldRequirement], _FEW] | None = None
    """Requirements on the node's name."""


class NodeSelector(Spec):
    """Terms, at least one of which must be met."""

    node_selector_terms: Annotated[Items[NodeSelectorTerm], Field(min_length=1, max_length=16)]
    """Terms, at least one of which must be met."""


class PreferredNodes(Spec):
    """A term with its weight."""

    weight: Weight
    """Number of points for a node that meets the term."""
    preference: NodeSelectorTerm
    """The term."""


class NodeAffinity(Spec):
    """Affinity to nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """What a node must meet."""
    preferred_during_scheduling_ignored_during_execution: Annotated[Items[PreferredNodes], _FEW] | None = None
    """What a node should meet."""


class LabelRequirement(Spec):
    """One requirement on labels."""

    key: SelectorKey
    """Name of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """Relation to `values`."""
    values: Annotated[Items[SelectorValue], Field(max_length=64)] | None = None
    """Values to compare with."""


class LabelSelector(Spec):
    """Selects objects by their labels."""

    match_labels: Annotated[dict[LabelKey, SelectorValue], _FEW] | None = None
    """Labels with their values."""
    match_expressions: Annotated[Items[LabelRequirement], _FEW] | None = None
    """Requirements on labels."""


class PodAffinityTerm(Spec):
    """Selects pods, and the topology that counts as the same place."""

    label_selector: LabelSelector | None = None
    """Pods to select. Absent: none."""
    namespace_selector: LabelSelector | None = None
    """Namespaces of the pods, by labels. Absent: `namespaces`, or the job's own."""
    namespaces: Annotated[Items[DnsLabel], _FEW] | None = None
    """Namespaces of the pods, by name."""
    topology_key: SelectorKey
    """Node label whose value names the place, such as kubernetes.io/hostname."""
    match_label_keys: Annotated[Items[SelectorKey], _FEW] | None = None
    """Pod labels whose values must be those of the new pod."""
    mismatch_label_keys: Annotated[Items[SelectorKey], _FEW] | None = None
    """Pod labels whose values must not be those of the new pod."""


class PreferredPods(Spec):
    """A term with its weight."""

    weight: Weight
    """Number of points for a node that meets the term."""
    pod_affinity_term: PodAffinityTerm
    """The term."""


class PodAffinity(Spec):
    """Affinity to pods, or anti-affinity."""

    required_during_scheduling_ignored_during_execution: Annotated[Items[PodAffinityTerm], _FEW] | None = None
    """What a node must meet."""
    preferred_during_scheduling_ignored_during_execution: Annotated[Items[PreferredPods], _FEW] | None = None
    """What a node should meet."""


class Affinity(Spec):
    """Kubernetes' own affinity."""

    node_affinity: NodeAffinity | None = None
    """Affinity to nodes."""
    pod_affinity: PodAffinity | None = None
    """Affinity to pods."""
    pod_anti_affinity: PodAffinity | None = None
    """Anti-affinity to pods."""

    def wire(self) -> dict[str, Any]:
        """Return the Kubernetes object."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]


class TopologySpreadConstraint(Spec):
    """Spreads pods evenly over nodes, zones or other places."""

    max_skew: Positive = 1
    """Largest difference in the number of pods between two places."""
    topology_key: SelectorKey
    """Label of nodes whose values are the places, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    """What the scheduler does with a pod that it cannot place so."""
    label_selector: LabelSelector | None = None
    """Pods to count. Absent: those of this stage and job."""
    match_label_keys: Annotated[Items[SelectorKey], Field(max_length=16)] | None = None
    """Labels whose value of the new pod is part of the selector."""
    min_domains: Positive | None = None
    """Least number of places, for DoNotSchedule. Absent: 1."""
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    """Whether places count that affinity and nodeSelector exclude. Absent: Honor, they do not."""
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    """Honor: nodes with taints that the pod does not tolerate do not count. Absent: Ignore, they do."""
