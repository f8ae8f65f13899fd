"""`spec.serving`: the ONNX Runtime server. Absent: the job ends after the export. You can change it at any time."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import Items, SecretKeyRef, Spec
from tunewright.api.v1alpha1.model import ModelReference
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright_contract.capabilities.execution_providers import DEFAULT_EXECUTION_PROVIDERS, EXECUTION_PROVIDERS, ExecutionProviderName

ServedModelName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")]


class SmokeTestSpec(Spec):
    """A question that a new server must answer before it gets requests. Decoding is greedy, so the same model gives the same answer."""

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=8192)]
    """The question. For TextGeneration: the text to continue. For classification: the text to label.
    For NamedEntityRecognition: the text in which to find entities.
    For QuestionAnswering: the question in the first line, and the context in the lines after it."""
    contains: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Text that the answer, the label or the list of entities must contain, ignoring case. Absent: any answer that is not empty passes."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """Most tokens of the answer."""


class AutoscalingSpec(Spec):
    """An autoscaler sets the number of servers. It has no fields: the autoscaler is an object of its own."""


class ServingSpec(PodSettings):
    """The model server."""

    replicas: Annotated[int, Field(ge=0, le=1024)] = 1
    """Number of server pods."""
    autoscaling: AutoscalingSpec | None = None
    """Present (`{}`): a HorizontalPodAutoscaler or KEDA of the Deployment sets the number of servers. It starts from `replicas`."""
    model_ref: ModelReference | None = None
    """Serve the model of another FineTuneJob in this namespace. Absent: this job's own model. Use it to serve a retrained model at the same
    address: after its export it is rolled out like any other change."""
    served_model_name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")] | None = (
        None
    )
    """Name that clients send as `model`. Absent: the job's name."""
    execution_providers: Annotated[Items[ExecutionProviderName], Field(min_length=1, max_length=len(EXECUTION_PROVIDERS))] = (
        DEFAULT_EXECUTION_PROVIDERS
    )
    """ONNX Runtime execution providers, in order of preference."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] = 16
    """Number of answers decoded together, or of texts that an encoder reads together. Further ones wait."""
    max_model_len: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """Most tokens of a request, prompt and answer together; of a translation or a summary, source and target each. Absent: the model's
    context length."""
    image: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\s]+$")] | None = None
    """Server image. Absent: the operator's default."""
    api_key_secret_ref: SecretKeyRef | None = None
    """Secret with the key that clients must send as `Authorization: Bearer …`. Absent: the server answers every client that reaches it."""
    smoke_test: SmokeTestSpec | None = None
    """A question to each new server. One that answers wrongly gets no requests, and the previous revision continues."""
    progress_deadline_seconds: Annotated[int, Field(ge=30, le=86400)] = 900
    """Seconds without progress of a new revision (image pull, model loading) until it is rolled back."""
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """Seconds for open requests to finish when a server stops. Choose at least the time of your longest answer."""
