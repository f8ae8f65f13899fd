"""`spec.method.lora`: peft.LoraConfig, field by field, in camelCase. Defaults are PEFT's; for `targetModules` PEFT has none."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import Items, Share, Spec
from tunewright_contract.capabilities.lora_starts import LORA_START_PATTERN

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
