"""`training.optim`: transformers' optimizers by name, with the size of their state and the configurations in which they work.

Sources: transformers 5.23.0 (`training_args.OptimizerNames`, `trainer_optimizer.py`), deepspeed 0.19.8 (checkpoint/ds_to_universal.py).
"""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table


@dataclass(frozen=True, kw_only=True)
class Optimizer(Row):
    """`state_bytes`: bytes of state per trained parameter, without the weights. Adam's two moments in fp32 take 8."""

    state_bytes: float = 8.0
    needs_accelerator: bool = False
    deepspeed: bool = True  # false: it needs whole gradients of single layers, which DeepSpeed does not provide
    convertible: bool = False  # DeepSpeed can partition its state again for another number of ranks


OPTIMIZERS = Table(
    Optimizer(name="adamw_torch", convertible=True),
    Optimizer(name="adamw_torch_fused", convertible=True),
    Optimizer(name="adafactor", state_bytes=0.0),  # only row and column sums
    Optimizer(name="adamw_torch_4bit", state_bytes=1.0, needs_accelerator=True, supported=False),
    Optimizer(name="adamw_torch_8bit", state_bytes=2.0, needs_accelerator=True, supported=False),
    Optimizer(name="ademamix", state_bytes=12.0),  # two first moments and a second one
    Optimizer(name="sgd", state_bytes=0.0),  # without momentum, as transformers builds it
    Optimizer(name="adagrad", state_bytes=4.0),
    Optimizer(name="adamw_bnb_8bit", state_bytes=2.0, needs_accelerator=True),
    Optimizer(name="adamw_8bit", state_bytes=2.0, needs_accelerator=True),
    Optimizer(name="ademamix_8bit", state_bytes=3.0, needs_accelerator=True),
    Optimizer(name="lion_8bit", state_bytes=1.0, needs_accelerator=True),
    Optimizer(name="lion_32bit", state_bytes=4.0),
    Optimizer(name="paged_adamw_32bit", needs_accelerator=True),
    Optimizer(name="paged_adamw_8bit", state_bytes=2.0, needs_accelerator=True),
    Optimizer(name="paged_ademamix_32bit", state_bytes=12.0, needs_accelerator=True),
    Optimizer(name="paged_ademamix_8bit", state_bytes=3.0, needs_accelerator=True),
    Optimizer(name="paged_lion_32bit", state_bytes=4.0, needs_accelerator=True),
    Optimizer(name="paged_lion_8bit", state_bytes=1.0, needs_accelerator=True),
    Optimizer(name="rmsprop", state_bytes=4.0),
    Optimizer(name="rmsprop_bnb", state_bytes=4.0, needs_accelerator=True),
    Optimizer(name="rmsprop_bnb_8bit", state_bytes=1.0, needs_accelerator=True),
    Optimizer(name="rmsprop_bnb_32bit", state_bytes=4.0, needs_accelerator=True),
    Optimizer(name="galore_adamw", deepspeed=False, supported=False),
    Optimizer(name="galore_adamw_8bit", needs_accelerator=True, deepspeed=False, supported=False),
    Optimizer(name="galore_adafactor", deepspeed=False, supported=False),
    Optimizer(name="galore_adamw_layerwise", deepspeed=False, supported=False),
    Optimizer(name="galore_adamw_8bit_layerwise", needs_accelerator=True, deepspeed=False, supported=False),
    Optimizer(name="galore_adafactor_layerwise", deepspeed=False, supported=False),
    Optimizer(name="lomo", supported=False),
    Optimizer(name="adalomo", supported=False),
    Optimizer(name="grokadamw", supported=False),
    Optimizer(name="schedule_free_radam", supported=False),
    Optimizer(name="schedule_free_adamw", supported=False),
    Optimizer(name="schedule_free_sgd", supported=False),
    Optimizer(name="apollo_adamw", deepspeed=False, supported=False),
    Optimizer(name="apollo_adamw_layerwise", deepspeed=False, supported=False),
    Optimizer(name="stable_adamw", supported=False),
    instead="Use adamw_torch, adamw_torch_fused, adafactor, sgd, or one of bitsandbytes' 8-bit or paged optimizers.",
)
CONVERTIBLE_OPTIMIZERS = OPTIMIZERS.where(lambda row: row.convertible)
DEFAULT_OPTIMIZER = CONVERTIBLE_OPTIMIZERS[0]

OptimizerName = Annotated[str, OneOf(OPTIMIZERS.names)]
