"""`topologySpreadConstraints` of a stage's pods: Kubernetes' own, field for field, within bounds.

Source: the Kubernetes API, core/v1 TopologySpreadConstraint.
"""

from typing import Annotated, Literal

from pydantic import Field

from tunewright.api.v1alpha1.affinity import LabelSelector, SelectorKey
from tunewright.api.v1alpha1.common import Items, Spec

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
