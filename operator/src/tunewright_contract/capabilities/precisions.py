"""Number types: `method.quantization.type` for the frozen base, `training.precision` for the computation, `output.onnx.precision`.

Sources: bitsandbytes 0.50.2; QLoRA (Dettmers et al. 2023, arXiv:2305.14314).
"""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table


@dataclass(frozen=True, kw_only=True)
class Quantization(Row):
    """`bits` are per weight of a linear layer, with the scales. None: the base is not quantised.

    4-bit blocks of 64 carry one fp32 scale: 4 + 32/64 = 4.5. Quantising the scales themselves to 8 bits in blocks of 256 leaves
    4 + 8/64 + 32/(64*256) = 4.127 (QLoRA, section 3).
    """

    bits: float | None
    double_quant_bits: float | None = None  # with `doubleQuant`; None: the type has no such option
    zero_stages: tuple[int, ...] = (0, 1, 2, 3)  # that passed tests; `stage: Auto` chooses no other

    @property
    def quantized(self) -> bool:
        return self.bits is not None

    @property
    def four_bit(self) -> bool:
        """Whether quantType, doubleQuant, computeDtype and quantStorage have an effect."""
        return self.double_quant_bits is not None


UNQUANTIZED = Quantization(name="none", bits=None)
BNB4 = Quantization(name="bnb4", bits=4 + 32 / 64, double_quant_bits=4 + 8 / 64 + 32 / (64 * 256))
BNB8 = Quantization(name="bnb8", bits=8.0, zero_stages=(0, 1, 2))

QUANTIZATIONS = Table(UNQUANTIZED, BNB4, BNB8)

QuantizationName = Annotated[str, OneOf(QUANTIZATIONS.names)]


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
