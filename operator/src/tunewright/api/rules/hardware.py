"""E018, E401: hardware that a job needs: an execution provider that the server image holds, and an accelerator.

Without E018, the server fails after the model is trained. Sources: torch 2.13.0, bitsandbytes 0.50.2, flash-attn, liger-kernel.
"""

from typing import Any

from tunewright.api.rules.predicates import field
from tunewright.api.rules.table import Rule, job_rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.execution_providers import EXECUTION_PROVIDERS
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.precisions import TRAINING_PRECISIONS


def not_in_image(spec: FineTuneJobSpec) -> list[str]:
    """Return the execution providers that are in no image the job can be served from. The job's own image is assumed to have them."""
    serving = spec.serving
    if serving is None or serving.image is not None:
        return []
    return [name for name in serving.execution_providers if not EXECUTION_PROVIDERS[name].in_server_image]


def needs_accelerator(spec: FineTuneJobSpec) -> list[str]:
    """Return the settings that need an accelerator."""
    training, model = spec.training, spec.model
    optim = training.optim
    wants = {
        f"training.precision {training.precision}": TRAINING_PRECISIONS[training.precision].needs_accelerator,
        f"model.attnImplementation {model.attn_implementation}": model.attn_implementation.startswith("flash_attention"),
        "training.useLigerKernel": training.use_liger_kernel,
        f"training.optim {optim}": OPTIMIZERS[optim].needs_accelerator,
    }
    return [name for name, present in wants.items() if present]


_HELD = " or ".join(EXECUTION_PROVIDERS.where(lambda row: row.in_server_image))

RULES: tuple[Rule[Any], ...] = (
    job_rule(
        code="E018",
        path="serving.executionProviders",
        broken=lambda spec: bool(not_in_image(spec)),
        says=lambda spec: f"the server image holds no {', '.join(not_in_image(spec))}, so no server could start",
        refuses="an execution provider that the server image does not hold",
        way_out=f"Use {_HELD}, or set serving.image to an image of your own that holds it.",
    ),
    job_rule(
        code="E401",
        path="workers.resources.limits",
        broken=lambda spec: spec.workers.accelerators == 0 and bool(needs_accelerator(spec)),
        says=lambda spec: f"no accelerator is requested, but {', '.join(needs_accelerator(spec))} needs one",
        refuses="fp16, flash attention, Liger kernels, paged or 8-bit optimizers without an accelerator",
        way_out="Add nvidia.com/gpu to workers.resources.limits, or choose precision bf16 or fp32, attnImplementation "
        "sdpa, optim adamw_torch.",
    ),
    job_rule(
        code="E401",
        path="model.attnImplementation",
        broken=field("model.attnImplementation").starts_with("flash_attention") & field("model.dtype").equals("float32"),
        says=lambda spec: f"{spec.model.attn_implementation} computes in 16 bits only, but model.dtype is float32",
        refuses="flash attention with 32-bit weights",
        way_out="Set model.dtype to bfloat16, or attnImplementation to sdpa.",
    ),
)
