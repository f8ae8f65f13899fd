"""`method.lora`: the initial values of an adapter, and where DoRA works. Both can need complete base weights.

A quantised base has no complete weights, and ZeRO-3 gathers each one only while its layer is computed. Sources: peft 0.21.2,
huggingface/peft#1731, LLaMA-Factory's argument parser.
"""

from dataclasses import dataclass

from tunewright_contract.capabilities.table import Row, Table

STAGES_WITH_WHOLE_WEIGHTS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class LoraStart(Row):
    """A value of `initLoraWeights` other than true and false."""

    variants: tuple[str, ...] = ()  # regular expressions of further spellings
    zero_stages: tuple[int, ...] = (*STAGES_WITH_WHOLE_WEIGHTS, 3)
    on_quantized: bool = True  # whether it can start from weights that bitsandbytes has quantised


LOFTQ = LoraStart(name="loftq", zero_stages=STAGES_WITH_WHOLE_WEIGHTS, supported=False)  # needs loftqConfig

LORA_STARTS = Table(
    LoraStart(name="gaussian"),
    LoraStart(name="orthogonal"),
    LoraStart(name="pissa", variants=("pissa_niter_[1-9][0-9]{0,3}",), zero_stages=STAGES_WITH_WHOLE_WEIGHTS, on_quantized=False),
    LoraStart(name="olora"),
    LOFTQ,
    LoraStart(name="eva", supported=False),
    instead="Use true, gaussian, pissa or olora.",
)
LORA_START_PATTERN = f"^({'|'.join(spelling for row in LORA_STARTS.values() for spelling in (row.name, *row.variants))})$"
_PLAIN = LoraStart(name="")


def lora_start(value: object) -> LoraStart:
    """Return the row of an `initLoraWeights`; true and false start from small random values, which always work."""
    return LORA_STARTS.get(str(value).partition("_")[0], _PLAIN)


def dora_works(*, quantized: bool, stage: int | None) -> bool:
    """Return whether DoRA can compute the norms of the base weights. `stage` None: not decided, or no DeepSpeed."""
    return not quantized or stage is None or stage in STAGES_WITH_WHOLE_WEIGHTS
