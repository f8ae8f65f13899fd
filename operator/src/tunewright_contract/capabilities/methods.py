"""`method.type`: what a model learns from. Sources: trl 1.16.0."""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table


@dataclass(frozen=True, kw_only=True)
class Method(Row):
    """How examples become a loss."""

    trainer_class: str  # of trl
    settings: str | None = None  # the attribute of `method` with its settings
    packable: bool = True  # several examples may share a row; false where examples are compared one by one
    reference_model: bool = False  # a frozen copy answers beside the model
    bypasses_head: bool = False  # the loss is computed from the head's own weight, so an adapter on it would not learn


SFT = Method(name="sft", trainer_class="SFTTrainer", bypasses_head=True)

METHODS = Table(
    SFT,
    Method(name="dpo", trainer_class="DPOTrainer", settings="dpo", packable=False, reference_model=True, supported=False),
    Method(name="kto", trainer_class="KTOTrainer", settings="kto", packable=False, reference_model=True, supported=False),
    Method(name="orpo", trainer_class="experimental.orpo.ORPOTrainer", supported=False),
    Method(name="grpo", trainer_class="GRPOTrainer", settings="grpo", supported=False),
    Method(name="distillation", trainer_class="DistillationTrainer", settings="distillation", supported=False),
    instead="Use sft.",
)
DEFAULT_METHOD = SFT.name

MethodName = Annotated[str, OneOf(METHODS.names)]
SupportedMethod = Annotated[str, OneOf(METHODS.supported)]
