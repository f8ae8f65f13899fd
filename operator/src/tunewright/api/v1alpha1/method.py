"""`spec.method`: the training method (sft, dpo, …), the trained weights (the tuner), and quantization of the frozen ones.

`spec.method.lora` is peft.LoraConfig, field by field, in camelCase. Defaults are PEFT's; for `targetModules` PEFT has none.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import DnsSubdomain, Items, Share, Spec, Word
from tunewright_contract.capabilities.methods import DEFAULT_METHOD, MethodName
from tunewright_contract.capabilities.precisions import UNQUANTIZED, QuantizationName
from tunewright_contract.capabilities.tuners import DEFAULT_TUNER, LORA, LORA_START_PATTERN, TUNERS, TunerName

ModuleName = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f]+$")]
ModuleNames = Annotated[Items[ModuleName], Field(max_length=256)]
ModulePattern = ModuleName | Annotated[Items[ModuleName], Field(min_length=1, max_length=256)]
InitMethod = Annotated[str, StringConstraints(max_length=32, pattern=LORA_START_PATTERN)]
ALL_LINEAR = "all-linear"


class LoftqConfig(Spec):
    """peft.LoftQConfig."""

    loftq_bits: Literal[2, 4, 8] = 4
    """Number of bits of the quantised weights that LoftQ approximates."""
    loftq_iter: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of alternating iterations."""


class LoraSpec(Spec):
    """Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685); with `useDora`, DoRA (Liu et al. 2024, arXiv:2402.09353)."""

    r: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of the update."""
    lora_alpha: Annotated[int, Field(ge=1, le=65536)] = 8
    """Scale of the update: loraAlpha/r, or loraAlpha/sqrt(r) with `useRslora`."""
    lora_dropout: Share = 0.0
    """Share of the adapter's inputs that are dropped in training."""
    target_modules: ModulePattern = ALL_LINEAR
    """Modules to adapt: `all-linear`, a list of name suffixes, or a regular expression for full names."""
    exclude_modules: ModulePattern | None = None
    """Modules to leave out: a list of name suffixes, or a regular expression."""
    layers_to_transform: Annotated[Items[Annotated[int, Field(ge=0, le=4095)]], Field(max_length=1024)] = ()
    """Adapt only these layers, counted from 0."""
    layers_pattern: ModuleNames = ()
    """Name of the model's list of layers, if it is unusual."""
    rank_pattern: Annotated[dict[ModuleName, Annotated[int, Field(ge=1, le=1024)]], Field(max_length=256)] = Field(default_factory=dict)
    """Ranks of modules, by name suffix."""
    alpha_pattern: Annotated[dict[ModuleName, Annotated[int, Field(ge=1, le=65536)]], Field(max_length=256)] = Field(default_factory=dict)
    """loraAlpha of modules, by name suffix."""
    modules_to_save: ModuleNames = ()
    """Modules to train and store in full beside the adapter."""
    target_parameters: ModuleNames = ()
    """Parameters (not modules) to adapt, for mixtures of experts."""
    trainable_token_indices: Annotated[Items[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(max_length=4096)] = ()
    """Rows of the embedding to train in full."""
    ensure_weight_tying: bool = False
    """Keep tied weights tied when both are adapted or saved in full."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Biases to train: none, all, or those of the adapted modules (lora_only)."""
    use_rslora: bool = False
    """Scale by loraAlpha/sqrt(r) (Kalajdzievski 2023, arXiv:2312.03732)."""
    use_dora: bool = False
    """Train magnitude and direction separately (DoRA)."""
    lora_bias: bool = False
    """Add a bias to the adapter's second matrix."""
    init_lora_weights: bool | InitMethod = True
    """Initialisation of the adapter: true, false, gaussian, orthogonal, pissa, pissa_niter_N, olora, loftq, eva."""
    loftq_config: LoftqConfig | None = None
    """Settings of `initLoraWeights: loftq`."""
    loraplus_lr_ratio: Annotated[float, Field(ge=1, le=1024)] | None = None
    """LoRA+: learning rate of the second matrix, relative to the first."""


DpoLoss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
]  # fmt: skip
Positive = Annotated[float, Field(gt=0, le=1000)]


class AdaLoraSpec(Spec):
    """peft.AdaLoraConfig."""

    init_r: Annotated[int, Field(ge=1, le=1024)] = 12
    """Rank of the update at the start."""
    target_r: Annotated[int, Field(ge=1, le=1024)] = 8
    """Mean rank of the update at the end."""
    tinit: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Number of optimizer steps before ranks are reduced."""
    tfinal: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Number of optimizer steps at the end, with fixed ranks."""
    delta_t: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(default=1, alias="deltaT")
    """Number of optimizer steps between two reductions of ranks."""
    total_step: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Number of optimizer steps of the whole training."""


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
    """Number of trained tokens before each example, in each layer."""
    prefix_projection: bool = False
    """Compute the prefix with a small network."""


class PromptTuningSpec(Spec):
    """peft.PromptTuningConfig."""

    num_virtual_tokens: Annotated[int, Field(ge=1, le=4096)]
    """Number of trained tokens before each example."""
    prompt_tuning_init: Literal["RANDOM", "TEXT", "SAMPLE_VOCAB"] = "RANDOM"
    """Start of the trained tokens: random, a text, or tokens of the vocabulary."""
    prompt_tuning_init_text: Annotated[str, StringConstraints(max_length=8192)] | None = None
    """Text to start from, for `promptTuningInit: TEXT`."""


class PTuningSpec(Spec):
    """peft.PromptEncoderConfig."""

    num_virtual_tokens: Annotated[int, Field(ge=1, le=4096)]
    """Number of trained tokens before each example."""
    encoder_reparameterization_type: Literal["MLP", "LSTM"] = "MLP"
    """Network that computes the trained tokens."""


class VeraSpec(Spec):
    """peft.VeraConfig."""

    r: Annotated[int, Field(ge=1, le=4096)] = 256
    """Rank of the frozen random matrices."""
    d_initial: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Start value of the trained vector d; a factor without a unit."""


class OftSpec(Spec):
    """peft.OFTConfig."""

    r: Annotated[int, Field(ge=0, le=1024)] = 0
    """Number of blocks in each layer. 0: `oftBlockSize` determines it."""
    oft_block_size: Annotated[int, Field(ge=0, le=4096)] = 32
    """Rows of one block. 0: `r` determines it."""


class QuantizationSpec(Spec):
    """transformers.BitsAndBytesConfig for the frozen base; QLoRA (Dettmers et al. 2023, arXiv:2305.14314) is lora with bnb4."""

    type: QuantizationName = UNQUANTIZED.name
    """bnb4: 4 bits. bnb8: LLM.int8()."""
    quant_type: Literal["nf4", "fp4"] = "nf4"
    """Number type of bnb4: normal float (nf4) or floating point (fp4)."""
    double_quant: bool = True
    """Also quantise the scales."""
    compute_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Number type of the computation with quantised weights."""
    quant_storage: Literal["uint8", "bfloat16", "float16", "float32"] | None = None
    """Storage type of packed weights. Absent: the compute type under ZeRO-3, otherwise uint8."""


class DpoSpec(Spec):
    """trl.DPOConfig's own fields."""

    beta: Positive = 0.1
    """Weight of the distance to the reference model; a factor without a unit."""
    loss_type: Annotated[Items[DpoLoss], Field(min_length=1, max_length=8)] = ("sigmoid",)
    """Losses, which are added."""
    loss_weights: Annotated[Items[Positive], Field(max_length=8)] = ()
    """Factor of each loss of `lossType`. Absent: 1 each."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of the preferences that are assumed to be wrong."""
    f_divergence_type: Literal["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"] = "reverse_kl"
    """Divergence from the reference model."""
    precompute_ref_log_probs: bool = False
    """Compute the reference model's probabilities once, before training."""
    sync_ref_model: bool = False
    """Move the reference model towards the trained one while training."""


class KtoSpec(Spec):
    """trl.KTOConfig's own fields."""

    beta: Positive = 0.1
    """Weight of the distance to the reference model; a factor without a unit."""
    desirable_weight: Positive = 1.0
    """Factor of the loss on desired answers."""
    undesirable_weight: Positive = 1.0
    """Factor of the loss on undesired answers."""


class GrpoSpec(Spec):
    """trl.GRPOConfig's own fields."""

    num_generations: Annotated[int, Field(ge=1, le=1024)] = 8
    """Number of answers to each prompt."""
    max_completion_length: Annotated[int, Field(ge=1, le=2**20)] = 512
    """Most tokens of an answer."""
    beta: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Weight of the distance to the reference model; a factor without a unit."""
    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Clipping range of the probability ratio; a factor without a unit."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Sampling temperature of answers; a factor without a unit."""
    reward_functions: Annotated[Items[Word], Field(max_length=16)] = ()
    """Names of the functions that score answers."""


class DistillationSpec(Spec):
    """trl.DistillationConfig's own fields."""

    teacher_ref: DnsSubdomain
    """Name of the FineTuneJob whose model is the teacher."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Temperature of both models' probabilities; a factor without a unit."""
    lmbda: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the examples that the student writes itself."""


class MethodSpec(Spec):
    """Training method, tuner and quantization."""

    type: MethodName = DEFAULT_METHOD
    """Training method. sft: supervised fine-tuning on examples."""
    tuner: TunerName = DEFAULT_TUNER
    """Trained weights: all (full), or an adapter."""
    lora: LoraSpec | None = None
    """Settings of the lora tuner. Absent: its defaults."""
    adalora: AdaLoraSpec | None = None
    """Settings of the adalora tuner. Absent: its defaults."""
    ia3: Ia3Spec | None = None
    """Settings of the ia3 tuner. Absent: its defaults."""
    prefix_tuning: PrefixTuningSpec | None = None
    """Settings of the prefixTuning tuner."""
    prompt_tuning: PromptTuningSpec | None = None
    """Settings of the promptTuning tuner."""
    p_tuning: PTuningSpec | None = None
    """Settings of the pTuning tuner."""
    vera: VeraSpec | None = None
    """Settings of the vera tuner. Absent: its defaults."""
    oft: OftSpec | None = None
    """Settings of the oft tuner. Absent: its defaults."""
    quantization: QuantizationSpec = QuantizationSpec()
    """Quantization of the frozen base."""
    dpo: DpoSpec | None = None
    """Settings of direct preference optimisation. Absent: its defaults."""
    kto: KtoSpec | None = None
    """Settings of Kahneman-Tversky optimisation. Absent: its defaults."""
    grpo: GrpoSpec | None = None
    """Settings of group relative policy optimisation. Absent: its defaults."""
    distillation: DistillationSpec | None = None
    """Settings of distillation."""

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
