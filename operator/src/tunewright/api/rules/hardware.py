"""E401: settings that need an accelerator. Sources: torch 2.13.0, bitsandbytes 0.50.2, flash-attn, liger-kernel."""

from typing import Any

from tunewright.api.rules.predicates import field
from tunewright.api.rules.table import Rule, job_rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.precisions import TRAINING_PRECISIONS


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


RULES: tuple[Rule[Any], ...] = (
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
