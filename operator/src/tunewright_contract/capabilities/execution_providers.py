"""`serving.executionProviders`: the hardware on which a server computes.

Sources: onnxruntime 1.31.1 (`get_all_providers`), the vendors' device plugins.
"""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table

BUILT_IMAGES = ("cpu",)  # flavours of the server image that server-image/Dockerfile builds


@dataclass(frozen=True, kw_only=True)
class ExecutionProvider(Row):
    """`image` is the flavour of the server image that contains the provider.

    A supported provider whose flavour is not built needs an image of the user's own.
    """

    onnxruntime: str  # ONNX Runtime's own name
    image: str
    device: str | None = None  # the extended resource of which a pod needs one unit

    @property
    def in_server_image(self) -> bool:
        return self.image in BUILT_IMAGES


CPU = ExecutionProvider(name="CPU", onnxruntime="CPUExecutionProvider", image="cpu")

EXECUTION_PROVIDERS = Table(
    CPU,
    ExecutionProvider(name="CUDA", onnxruntime="CUDAExecutionProvider", image="cuda", device="nvidia.com/gpu"),
    ExecutionProvider(name="TensorRT", onnxruntime="TensorrtExecutionProvider", image="cuda", device="nvidia.com/gpu", supported=False),
    ExecutionProvider(name="OpenVINO", onnxruntime="OpenVINOExecutionProvider", image="openvino", supported=False),
    instead="Use CPU, or CUDA with an image of your own in serving.image.",
)
DEFAULT_EXECUTION_PROVIDERS = (CPU.name,)

ExecutionProviderName = Annotated[str, OneOf(EXECUTION_PROVIDERS.names)]
