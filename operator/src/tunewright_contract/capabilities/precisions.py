"""Number types: `training.precision` for the computation during training, `output.onnx.precision` for the exported weights."""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table


@dataclass(frozen=True, kw_only=True)
class TrainingPrecision(Row):
    """`flag` is the argument of transformers.TrainingArguments, and the block of a DeepSpeed configuration, that turns it on."""

    bytes: int  # of one number
    flag: str | None = None
    needs_accelerator: bool = False


TRAINING_PRECISIONS = Table(
    TrainingPrecision(name="bf16", bytes=2, flag="bf16"),
    TrainingPrecision(name="fp16", bytes=2, flag="fp16", needs_accelerator=True),
    TrainingPrecision(name="fp32", bytes=4),
)
DEFAULT_TRAINING_PRECISION = TRAINING_PRECISIONS["bf16"].name
PRECISION_FLAGS = tuple(row.flag for row in TRAINING_PRECISIONS.values() if row.flag is not None)


@dataclass(frozen=True, kw_only=True)
class ExportPrecision(Row):
    """`bits` of a weight in most matrices; None: not quantised. `wider` is the next precision with less rounding."""

    bits: int | None
    widths: tuple[int, ...] = ()  # all bit widths that a graph of this precision holds
    wider: str | None = None


WHOLE = ExportPrecision(name="fp32", bits=None)

EXPORT_PRECISIONS = Table(
    WHOLE,
    ExportPrecision(name="int8", bits=8, widths=(8,), wider=WHOLE.name),
    ExportPrecision(name="int4", bits=4, widths=(4, 8), wider="int8"),  # the head and some layers are in 8 bits
)
DEFAULT_EXPORT_PRECISION = EXPORT_PRECISIONS["int8"].name

TrainingPrecisionName = Annotated[str, OneOf(TRAINING_PRECISIONS.names)]
ExportPrecisionName = Annotated[str, OneOf(EXPORT_PRECISIONS.names)]
