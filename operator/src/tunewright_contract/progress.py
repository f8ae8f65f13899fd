"""Kubeflow Trainer's progress protocol (its proposal 2779), as transformers >= 5.4 posts it during training.

`POST <KUBEFLOW_TRAINER_SERVER_URL>` with `Authorization: Bearer <token>`; 200 accepted, 403 wrong token, 404 unknown job, 422 bad body.
The trainer adds the metrics below to those that transformers logs. Metric values are strings on the wire.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tunewright_contract.base import LARGEST_COUNT

STEP = "global_step"
MAX_STEPS = "max_steps"
TOKENS_PER_SECOND = "tokens_per_second"
LOSS = "loss"
EVAL_LOSS = "eval_loss"
LEARNING_RATE = "learning_rate"
CHECKPOINT_STEP = "checkpoint_step"  # of the newest complete checkpoint
RESUMED_FROM_STEP = "resumed_from_step"  # the step at which this attempt began


class _Foreign(BaseModel):
    """Written by other programs too, so unknown fields are accepted."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="ignore")


def _with_zone(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


class Metric(_Foreign):
    name: str = Field(max_length=128)
    value: str = Field(max_length=128)


class TrainerStatus(_Foreign):
    progress_percentage: int | None = Field(default=None, ge=0, le=100)
    estimated_remaining_seconds: Annotated[int, Field(ge=-LARGEST_COUNT, le=LARGEST_COUNT)] | None = None
    metrics: list[Metric] = Field(default_factory=list, max_length=256)
    last_updated_time: Annotated[datetime, AfterValidator(_with_zone)] | None = None


class ProgressReport(_Foreign):
    trainer_status: TrainerStatus
