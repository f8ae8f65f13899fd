"""The settings of a stage's pods: `spec.check`, `spec.workers`, `spec.export` and `spec.serving` have all of these fields.

An absent field is None, and differs from an empty one. Check and Export take absent fields from another part, which the stage table names.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.affinity import Affinity
from tunewright.api.v1alpha1.common import DnsSubdomain, Items, LabelKey, LabelValue, ResourceRequirements, Spec, as_set, keyed

AnnotationValue = Annotated[str, StringConstraints(max_length=4096)]


class Toleration(Spec):
    """Kubernetes' own toleration."""

    key: LabelKey | None = None
    """Key of the taint. Absent: every taint; then `operator` is Exists."""
    operator: Literal["Exists", "Equal"] | None = None
    """Exists tolerates each value, Equal this `value`. Absent: Equal."""
    value: LabelValue | None = None
    """Value of the taint, for the operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Absent: every effect."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds until eviction, for the effect NoExecute. Absent: no eviction."""


class EnvVar(Spec):
    """One environment variable of a stage's container, in plain text. Do not put secrets here."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Its value."""


class PodSettings(Spec):
    """Settings of the pods of one stage."""

    resources: ResourceRequirements = ResourceRequirements()
    """Resources of one pod. Each amount replaces the planned one of the same name."""
    pod_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = None
    """Additional labels of the pods, such as a cost centre. Labels of Kubernetes and of Tunewright are refused."""
    pod_annotations: Annotated[dict[LabelKey, AnnotationValue], Field(max_length=32)] | None = None
    """Additional annotations of the pods, such as `sidecar.istio.io/inject: "false"`."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = None
    """Labels that a node must have."""
    tolerations: Annotated[Items[Toleration], Field(max_length=32)] | None = None
    """Taints that the pods tolerate."""
    affinity: Affinity | None = None
    """Kubernetes' own affinity of the pods."""
    priority_class_name: DnsSubdomain | None = None
    """Name of the pods' PriorityClass."""
    runtime_class_name: DnsSubdomain | None = None
    """Name of the pods' RuntimeClass."""
    scheduler_name: DnsSubdomain | None = None
    """Name of the scheduler. Absent: the cluster's default scheduler."""
    service_account_name: DnsSubdomain | None = None
    """ServiceAccount of the pods, which get no token of it. Absent: default."""
    image_pull_secrets: Annotated[Items[DnsSubdomain], Field(max_length=16), as_set()] | None = None
    """Secrets for the registry of the image, by name. Absent: those of spec.workers."""
    env: Annotated[Items[EnvVar], Field(max_length=128), keyed("name")] | None = None
    """Additional environment variables of the container."""
