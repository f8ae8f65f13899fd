"""`spec.serving`: the ONNX Runtime server. Absent: the job ends when its artefacts are written. May be changed at any time."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import Items, NodeSelector, ResourceRequirements, SecretKeyRef, Spec, Tolerations
from tunewright.api.v1alpha1.model import ModelReference
from tunewright_contract.capabilities.execution_providers import DEFAULT_EXECUTION_PROVIDERS, ExecutionProviderName

ServedModelName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")]


class SmokeTestSpec(Spec):
    """A question that a new server asks itself before it takes requests. Answered greedily, so the same model gives the same answer."""

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    """What a user would say; for TextGeneration the text to go on from."""
    contains: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """What the answer must hold, upper or lower case. When absent, any answer that is not empty will do."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """Length limit of the answer."""


class ServingSpec(Spec):
    """How the finished model is served."""

    replicas: Annotated[int, Field(ge=0, le=1024)] = 1
    model_ref: ModelReference | None = None
    """Whose model answers: a FineTuneJob of this namespace; this job itself when absent. The way of a model that was trained anew to the
    address of the one before it: it is rolled out like any other change, once it is exported."""
    served_model_name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")] | None = (
        None
    )
    """What clients put into `model`; the job's name when absent."""
    execution_providers: Annotated[Items[ExecutionProviderName], Field(min_length=1, max_length=5)] = DEFAULT_EXECUTION_PROVIDERS
    """In order of preference."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] = 16
    """Requests decoded together; more wait."""
    max_model_len: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """Tokens per request, prompt and answer together; the model's context length when absent."""
    resources: ResourceRequirements = ResourceRequirements()
    image: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\s]+$")] | None = None
    """Another server image than the operator's own."""
    api_key_secret_ref: SecretKeyRef | None = None
    """The key that clients must send as `Authorization: Bearer …`. When absent, the server answers everyone who can reach it."""
    smoke_test: SmokeTestSpec | None = None
    """Asked before a new server takes requests. One that answers wrongly never does, and the revision before goes on."""
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86400)] = 900
    """How long a new revision may come no further (pulling its image, reading its model) until it is rolled back."""
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """How long requests in flight may go on when a server is asked to stop; at least as long as your longest answer takes."""
    node_selector: NodeSelector = Field(default_factory=dict)
    tolerations: Tolerations = ()
