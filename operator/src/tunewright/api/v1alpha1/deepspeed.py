"""`spec.deepspeed`: ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054) as fields, or a raw DeepSpeed configuration. Absent: plain DDP."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from tunewright.api.v1alpha1.common import LocalPath, NestedMap, Spec

AUTO = "auto"
Buffer = Annotated[int, Field(ge=1, le=2**40)]  # elements


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("literal_error", "Input should be 'Auto', 0, 1, 2 or 3")  # Python takes true for 1
    return value


Stage = Annotated[Literal["Auto", 0, 1, 2, 3], BeforeValidator(_no_truth_value)]
Ratio = Annotated[float, Field(ge=0, le=1)]


class OffloadOptimizer(Spec):
    """Place of the optimizer states: on the accelerator (none), in host memory (cpu), or on NVMe."""

    device: Literal["Auto", "none", "cpu", "nvme"] = "Auto"
    """Auto: cpu only if the states do not fit otherwise."""
    ratio: Ratio = 1.0
    """Share of the states to update on the host (stage 3 only)."""
    nvme_path: LocalPath | None = None
    """Folder on NVMe in the pod, for device nvme."""
    pin_memory: bool = False
    """Use page-locked host memory, which is faster and cannot be swapped."""


class OffloadParam(Spec):
    """Place of the sharded parameters between uses (stage 3 only)."""

    device: Literal["Auto", "none", "cpu", "nvme"] = "none"
    """Place of the parameters: on the accelerator (none), in host memory (cpu), or on NVMe. Auto: cpu only if they do not fit otherwise."""
    nvme_path: LocalPath | None = None
    """Folder on NVMe in the pod, for device nvme."""
    pin_memory: bool = False
    """Use page-locked host memory, which is faster and cannot be swapped."""


class DeepSpeedSpec(Spec):
    """Sharding of model states over the ranks. transformers derives absent sizes from the model's hidden size."""

    stage: Stage = "Auto"
    """ZeRO stage. Auto: the lowest stage that fits, by the memory formula. 0: plain DDP."""
    offload_optimizer: OffloadOptimizer = OffloadOptimizer()
    """Place of the optimizer states."""
    offload_param: OffloadParam = OffloadParam()
    """Place of the sharded parameters between uses (stage 3 only)."""
    overlap_comm: bool | None = None
    """Reduce gradients during the backward pass. Absent: only in stage 3 (DeepSpeed's default)."""
    reduce_bucket_size: Buffer | None = None
    """Elements of one reduction of gradients. Absent: by the model's hidden size in stage 3, else DeepSpeed's default."""
    stage3_prefetch_bucket_size: Buffer | None = None
    """Elements of parameters to fetch ahead in stage 3. Absent: by the model's hidden size."""
    stage3_param_persistence_threshold: Annotated[int, Field(ge=0, le=2**40)] | None = None
    """Elements below which a parameter is not sharded in stage 3. Absent: by the model's hidden size."""
    stage3_gather_16bit_weights_on_model_save: bool = Field(default=True, alias="stage3Gather16bitWeightsOnModelSave")
    """Gather whole weights in 16 bits when a model is saved in stage 3."""
    zero_quantized_weights: bool = False
    """Quantise weights when ranks exchange them (ZeRO++, stage 3)."""
    zero_hpz_partition_size: Annotated[int, Field(ge=1, le=65536)] = 1
    """Number of ranks that share a second copy of the weights (ZeRO++, stage 3). 1: no second copy."""
    zero_quantized_gradients: bool = False
    """Quantise gradients when ranks exchange them (ZeRO++, stage 3)."""
    zero_quantized_nontrainable_weights: bool = False
    """Quantise frozen weights when ranks exchange them (stage 3)."""
    config: NestedMap | None = None
    """A raw DeepSpeed configuration, instead of all other fields here. `auto` takes the value from `training`."""
