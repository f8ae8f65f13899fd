"""`method.quantization.type`: the storage types of the frozen base.

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
