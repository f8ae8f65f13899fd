"""`method.type`: the training methods. Source: trl 1.16.0."""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table


@dataclass(frozen=True, kw_only=True)
class Method(Row):
    """A training method, which determines the loss."""

    trainer_class: str  # of trl
    settings: str | None = None  # the attribute of `method` with its settings
    packable: bool = True  # several examples may share a row; false if examples are compared one by one
    reference_model: bool = False  # a frozen copy of the model is evaluated, too
    bypasses_head: bool = False  # the loss is computed from the head's own weight, so an adapter on the head would not be trained


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
