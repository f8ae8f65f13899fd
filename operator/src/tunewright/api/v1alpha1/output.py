"""`spec.output`: the exported model, how close it must be to the trained one, and where everything is kept."""

from typing import Annotated, Literal

from pydantic import Field

from tunewright.api.v1alpha1.common import DnsSubdomain, Items, PvcSource, Quantity, Spec, as_set
from tunewright_contract.capabilities.precisions import DEFAULT_EXPORT_PRECISION, ExportPrecisionName


class Parity(Spec):
    """How far the exported model may stand from the trained one, on real prompts."""

    max_logit_difference: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Greatest absolute difference of a logit. Absent: not gated."""
    min_top1_agreement: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Share of positions at which both put the same token first."""
    prompts: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Held-out examples that are compared."""


class OnnxOutput(Spec):
    """The ONNX export."""

    precision: ExportPrecisionName = DEFAULT_EXPORT_PRECISION
    """Type of the exported weights."""
    parity: Parity = Parity()


class Destination(Spec):
    """Where a finished model is published."""

    pvc: PvcSource


class Storage(Spec):
    """Where checkpoints are kept: an existing claim by name, or one that is created."""

    claim_name: DnsSubdomain | None = None
    """An existing claim; excludes the fields below."""
    size: Quantity | None = None
    """Of the created claim; the operator's default when absent."""
    storage_class_name: DnsSubdomain | None = None
    access_modes: Annotated[Items[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]], Field(max_length=3), as_set()] = ()
    """Absent: ReadWriteOnce."""
    retain: bool = True
    """The created claim outlives the job."""


class OutputSpec(Spec):
    """What is written, and where."""

    onnx: OnnxOutput = OnnxOutput()
    destinations: Annotated[Items[Destination], Field(max_length=8)] = ()
    """Where finished models are published; beside the checkpoints when absent."""
    storage: Storage = Storage()
