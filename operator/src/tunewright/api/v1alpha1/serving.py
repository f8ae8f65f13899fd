"""`spec.serving`: the ONNX Runtime server. Absent: the job ends when its artefacts are written. May be changed at any time."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import Items, NodeSelector, ResourceRequirements, Spec, Tolerations

ExecutionProvider = Literal["CPU", "CUDA", "TensorRT", "ROCm", "OpenVINO"]
ServedModelName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")]


class ServingSpec(Spec):
    """How the finished model is served."""

    replicas: Annotated[int, Field(ge=0, le=1024)] = 1
    served_model_name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")] | None = (
        None
    )
    """What clients put into `model`; the job's name when absent."""
    execution_providers: Annotated[Items[ExecutionProvider], Field(min_length=1, max_length=5)] = ("CPU",)
    """In order of preference."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] = 16
    """Requests decoded together; more wait."""
    max_model_len: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """Tokens per request, prompt and answer together; the model's context length when absent."""
    resources: ResourceRequirements = ResourceRequirements()
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    """How long requests in flight may go on when a server is asked to stop."""
    node_selector: NodeSelector = Field(default_factory=dict)
    tolerations: Tolerations = ()
