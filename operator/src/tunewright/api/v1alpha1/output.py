"""`spec.output`: the exported model, its required parity with the trained one, and storage."""

from typing import Annotated, Literal

from pydantic import Field

from tunewright.api.v1alpha1.common import DnsSubdomain, Items, PvcSource, Quantity, Spec, as_set
from tunewright_contract.capabilities.precisions import DEFAULT_EXPORT_PRECISION, ExportPrecisionName


class Parity(Spec):
    """Largest difference between the exported and the trained model, on held-out prompts."""

    max_logit_difference: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Largest absolute difference of a logit. Absent: not checked."""
    min_top1_agreement: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Smallest share of positions where both models rank the same token first."""
    prompts: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Number of held-out examples to compare."""


class OnnxOutput(Spec):
    """The ONNX export."""

    precision: ExportPrecisionName = DEFAULT_EXPORT_PRECISION
    """Number type of the exported weights."""
    parity: Parity = Parity()
    """Largest difference between the exported and the trained model."""


class Destination(Spec):
    """A place to publish the finished model."""

    pvc: PvcSource
    """A folder in a claim of the job's namespace."""


class StorageSpec(Spec):
    """Storage of checkpoints: an existing claim, or one that the operator creates."""

    claim_name: DnsSubdomain | None = None
    """Name of an existing claim. Excludes the fields below."""
    size: Quantity | None = None
    """Size of the created claim. Absent: the operator's default."""
    storage_class_name: DnsSubdomain | None = None
    """StorageClass of the created claim. Absent: the cluster's default."""
    access_modes: Annotated[Items[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]], Field(max_length=3), as_set()] = ()
    """Absent: ReadWriteOnce."""
    retain: bool = True
    """Keep the created claim when the job is deleted."""


class OutputSpec(Spec):
    """Export, publication and storage."""

    onnx: OnnxOutput = OnnxOutput()
    """The ONNX export."""
    destinations: Annotated[Items[Destination], Field(max_length=8)] = ()
    """Places to publish the finished model. Absent: beside the checkpoints."""
    storage: StorageSpec = StorageSpec()
    """Storage of checkpoints, and of the finished model if no destination is named."""
