"""`method.tuner`: the trained weights. A row says how PEFT builds the tuner and with what it can be combined.

`method.lora` also has the initial values of an adapter. Some of them, and DoRA, need complete base weights: a quantised base has none, and
ZeRO-3 gathers each one only while its layer is computed. Sources: peft 0.21.2, huggingface/peft#1731, LLaMA-Factory's argument parser.
"""

from dataclasses import dataclass
from typing import Annotated

from tunewright_contract.capabilities.table import OneOf, Row, Table

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


ALL_STAGES = (0, 1, 2, 3)
ADAPTER_LEARNING_RATE = 2e-4
FULL_LEARNING_RATE = 2e-5


@dataclass(frozen=True, kw_only=True)
class Tuner(Row):
    """A tuner without `peft_type` trains weights of the base model itself."""

    peft_type: str | None  # of peft.PeftType
    title: str = ""  # as its paper writes it; empty: as in a manifest
    settings: str | None = None  # the attribute of `method` with its settings
    mergeable: bool = True  # into the base model, so that the exported graph is the base model's
    virtual_tokens: bool = False  # it adds trained vectors before the prompt
    quantizable: bool = False  # it works on a base that bitsandbytes has quantised
    zero_stages: tuple[int, ...] = ALL_STAGES  # 0 is plain DDP
    gradient_checkpointing: bool = True
    learning_rate: float = ADAPTER_LEARNING_RATE  # unless the job sets one

    @property
    def adapts(self) -> bool:
        """Whether the base model stays frozen beside an adapter."""
        return self.peft_type is not None


FULL = Tuner(name="full", peft_type=None, learning_rate=FULL_LEARNING_RATE)
LORA = Tuner(name="lora", peft_type="LORA", title="LoRA", settings="lora", quantizable=True)
IA3 = Tuner(name="ia3", peft_type="IA3", title="IA3", settings="ia3", learning_rate=3e-3)  # the rate of its paper, arXiv:2205.05638

TUNERS = Table(
    FULL,
    Tuner(name="freeze", peft_type=None, learning_rate=FULL_LEARNING_RATE, supported=False),
    LORA,
    IA3,
    Tuner(name="adalora", peft_type="ADALORA", settings="adalora", supported=False),
    Tuner(
        name="prefixTuning",
        peft_type="PREFIX_TUNING",
        settings="prefix_tuning",
        mergeable=False,
        virtual_tokens=True,
        gradient_checkpointing=False,  # its prefix is in the key-value cache, which checkpointing turns off (peft#869)
        supported=False,
    ),
    Tuner(
        name="promptTuning",
        peft_type="PROMPT_TUNING",
        settings="prompt_tuning",
        mergeable=False,
        virtual_tokens=True,
        supported=False,
    ),
    Tuner(name="pTuning", peft_type="P_TUNING", settings="p_tuning", mergeable=False, virtual_tokens=True, supported=False),
    Tuner(name="vera", peft_type="VERA", settings="vera", supported=False),
    Tuner(name="oft", peft_type="OFT", settings="oft", quantizable=True, supported=False),
    Tuner(name="boft", peft_type="BOFT", supported=False),
    Tuner(name="loha", peft_type="LOHA", supported=False),
    Tuner(name="lokr", peft_type="LOKR", supported=False),
    Tuner(name="lnTuning", peft_type="LN_TUNING", supported=False),
    Tuner(name="trainableTokens", peft_type="TRAINABLE_TOKENS", supported=False),
    instead="Use lora, ia3 or full.",
)
DEFAULT_TUNER = LORA.name

TunerName = Annotated[str, OneOf(TUNERS.names)]
SupportedTuner = Annotated[str, OneOf(TUNERS.supported)]
