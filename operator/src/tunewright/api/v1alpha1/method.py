"""`spec.method`: the training method (sft, dpo, …), the trained weights (the tuner), and quantization of the frozen ones."""

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import DnsSubdomain, Items, Spec, Word
from tunewright.api.v1alpha1.lora import LoraSpec, ModuleName, ModuleNames, ModulePattern
from tunewright_contract.capabilities.methods import DEFAULT_METHOD, MethodName
from tunewright_contract.capabilities.quantizations import UNQUANTIZED, QuantizationName
from tunewright_contract.capabilities.tuners import DEFAULT_TUNER, LORA, TUNERS, TunerName

DpoLoss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
]  # fmt: skip
Positive = Annotated[float, Field(gt=0, le=1000)]


class AdaLoraSpec(Spec):
    """peft.AdaLoraConfig."""

    init_r: Annotated[int, Field(ge=1, le=1024)] = 12
    target_r: Annotated[int, Field(ge=1, le=1024)] = 8
    tinit: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    tfinal: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    delta_t: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(default=1, alias="deltaT")
    total_step: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class Ia3Spec(Spec):
    """peft.IA3Config: scale activations by learned vectors (Liu et al. 2022, arXiv:2205.05638)."""

    target_modules: ModulePattern | None = None
    """Modules to scale: `all-linear`, a list of name endings, or a regular expression on full names. Absent: PEFT's choice for the
    architecture."""
    exclude_modules: ModulePattern | None = None
    """Modules not to scale, as a list of name endings or a regular expression."""
    feedforward_modules: ModuleName | ModuleNames | None = None
    """Of the target modules, those whose input is scaled, not their output. Absent: PEFT's choice for the architecture."""
    modules_to_save: ModuleNames = ()
    """Modules to train and store in full, with the adapter."""
    init_ia3_weights: bool = True
    """Start with vectors of ones, so that training starts from the base model."""


class PrefixTuningSpec(Spec):
    """peft.PrefixTuningConfig."""

    num_virtual_tokens: Annotated[int, Field(ge=1, le=4096)]
    prefix_projection: bool = False


class PromptTuningSpec(Spec):
    """peft.PromptTuningConfig."""

    num_virtual_tokens: Annotated[int, Field(ge=1, le=4096)]
    prompt_tuning_init: Literal["RANDOM", "TEXT", "SAMPLE_VOCAB"] = "RANDOM"
    prompt_tuning_init_text: Annotated[str, StringConstraints(max_length=8192)] | None = None


class PTuningSpec(Spec):
    """peft.PromptEncoderConfig."""

    num_virtual_tokens: Annotated[int, Field(ge=1, le=4096)]
    encoder_reparameterization_type: Literal["MLP", "LSTM"] = "MLP"


class VeraSpec(Spec):
    """peft.VeraConfig."""

    r: Annotated[int, Field(ge=1, le=4096)] = 256
    d_initial: Annotated[float, Field(gt=0, le=1)] = 0.1


class OftSpec(Spec):
    """peft.OFTConfig."""

    r: Annotated[int, Field(ge=0, le=1024)] = 0
    oft_block_size: Annotated[int, Field(ge=0, le=4096)] = 32


class QuantizationSpec(Spec):
    """transformers.BitsAndBytesConfig for the frozen base; QLoRA (Dettmers et al. 2023, arXiv:2305.14314) is lora with bnb4."""

    type: QuantizationName = UNQUANTIZED.name
    """bnb4: 4 bits. bnb8: LLM.int8()."""
    quant_type: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = True
    """Also quantise the scales."""
    compute_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    quant_storage: Literal["uint8", "bfloat16", "float16", "float32"] | None = None
    """Storage type of packed weights. Absent: the compute type under ZeRO-3, otherwise uint8."""


class DpoSpec(Spec):
    """trl.DPOConfig's own fields."""

    beta: Positive = 0.1
    loss_type: Annotated[Items[DpoLoss], Field(min_length=1, max_length=8)] = ("sigmoid",)
    loss_weights: Annotated[Items[Positive], Field(max_length=8)] = ()
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    f_divergence_type: Literal["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"] = "reverse_kl"
    precompute_ref_log_probs: bool = False
    sync_ref_model: bool = False


class KtoSpec(Spec):
    """trl.KTOConfig's own fields."""

    beta: Positive = 0.1
    desirable_weight: Positive = 1.0
    undesirable_weight: Positive = 1.0


class GrpoSpec(Spec):
    """trl.GRPOConfig's own fields."""

    num_generations: Annotated[int, Field(ge=1, le=1024)] = 8
    max_completion_length: Annotated[int, Field(ge=1, le=2**20)] = 512
    beta: Annotated[float, Field(ge=0, le=1000)] = 0.0
    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.2
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    reward_functions: Annotated[Items[Word], Field(max_length=16)] = ()


class DistillationSpec(Spec):
    """trl.DistillationConfig's own fields."""

    teacher_ref: DnsSubdomain
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    lmbda: Annotated[float, Field(ge=0, le=1)] = 0.5


class MethodSpec(Spec):
    """Training method, tuner and quantization."""

    type: MethodName = DEFAULT_METHOD
    """Training method. sft: supervised fine-tuning on examples."""
    tuner: TunerName = DEFAULT_TUNER
    """Trained weights: all (full), or an adapter."""
    lora: LoraSpec | None = None
    """Settings of the lora tuner. Absent: its defaults."""
    adalora: AdaLoraSpec | None = None
    ia3: Ia3Spec | None = None
    """Settings of the ia3 tuner. Absent: its defaults."""
    prefix_tuning: PrefixTuningSpec | None = None
    prompt_tuning: PromptTuningSpec | None = None
    p_tuning: PTuningSpec | None = None
    vera: VeraSpec | None = None
    oft: OftSpec | None = None
    quantization: QuantizationSpec = QuantizationSpec()
    """Quantization of the frozen base."""
    dpo: DpoSpec | None = None
    kto: KtoSpec | None = None
    grpo: GrpoSpec | None = None
    distillation: DistillationSpec | None = None

    def tuner_settings(self) -> Spec | None:
        """Return the settings of the tuner, its defaults if the job gives none, or None for a tuner without settings."""
        name = TUNERS[self.tuner].settings
        if name is None:
            return None
        given: Spec | None = getattr(self, name)
        default: type[Spec] = get_args(type(self).model_fields[name].annotation)[0]
        return given if given is not None else default()

    def effective_lora(self) -> LoraSpec | None:
        """Return the lora settings in use, or None if the tuner has other settings."""
        return (self.lora or LoraSpec()) if TUNERS[self.tuner].settings == LORA.settings else None
