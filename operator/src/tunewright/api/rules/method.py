"""E101-E113: tuners, adapters and quantisation. Sources: peft 0.21.2, trl 1.16.0, bitsandbytes 0.50.2, LLaMA-Factory's argument parser."""

from typing import Any

from tunewright.api.problems import as_written
from tunewright.api.rules.facts import HAS_DEEPSPEED, QUANTIZED, asked_stage, is_quantized, raw_stage
from tunewright.api.rules.predicates import field, flag, has, size, text
from tunewright.api.rules.table import Faults, Rule, job_rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.method import LoraSpec, QuantizationSpec
from tunewright_contract.capabilities.methods import METHODS
from tunewright_contract.capabilities.precisions import QUANTIZATIONS
from tunewright_contract.capabilities.tuners import LOFTQ, TUNERS, dora_works, lora_start

QUANTIZABLE = TUNERS.where(lambda row: row.quantizable)
WITHOUT_CHECKPOINTING = TUNERS.where(lambda row: not row.gradient_checkpointing)
FOUR_BIT = QUANTIZATIONS.where(lambda row: row.four_bit)
QUANT_TYPE = QuantizationSpec().quant_type
USES_DORA = has("method.lora") & flag("method.lora.useDora")
# Settings that peft refuses together with DoRA.
BESIDE_DORA = Faults[FineTuneJobSpec](
    ((flag("method.lora.loraBias"), "loraBias"), (size("method.lora.targetParameters").above(0), "targetParameters"))
)
WITHOUT_DORA = [str(stage) for stage in range(4) if not dora_works(quantized=True, stage=stage)]


def lora_of(spec: FineTuneJobSpec) -> LoraSpec:
    """Return the lora settings in force, or defaults, which break no rule."""
    return spec.method.effective_lora() or LoraSpec()


def layer_conflict(lora: LoraSpec) -> str:
    """Return why the choice of layers contradicts the choice of modules, or nothing."""
    if isinstance(lora.target_modules, str) and (lora.layers_to_transform or lora.layers_pattern):
        return f"layersToTransform and layersPattern need a list of modules, but targetModules is the text {lora.target_modules}"
    if lora.layers_pattern and not lora.layers_to_transform:
        return f"layersPattern {as_written(lora.layers_pattern)} names where layers lie, but layersToTransform names no layers"
    return ""


def dora_fails(spec: FineTuneJobSpec, stage: int | None) -> bool:
    """Return whether DoRA cannot compute the norms of the base weights. `stage` is explicit or chosen; None: not decided yet."""
    return lora_of(spec).use_dora and not dora_works(quantized=is_quantized(spec), stage=stage)


def start_fails(spec: FineTuneJobSpec, stage: int | None) -> bool:
    """Return whether the adapter would start from base weights that this ZeRO stage does not have whole. None: no stage is decided."""
    return stage is not None and stage not in lora_start(lora_of(spec).init_lora_weights).zero_stages


def _start_fails_here(spec: FineTuneJobSpec) -> bool:
    on_base = lora_start(lora_of(spec).init_lora_weights).on_quantized or not is_quantized(spec)
    return not on_base or start_fails(spec, asked_stage(spec))


def heads(targets: str | tuple[str, ...] | None) -> list[str]:
    """Return the target modules that are the output head."""
    named = targets if isinstance(targets, tuple) else (targets or "",)
    return [name for name in named if name.rsplit(".", 1)[-1] == "lm_head"]


def heads_of(spec: FineTuneJobSpec, settings: str) -> list[str]:
    """Return which of the tuner's target modules are the output head, if these are its settings and the loss bypasses the head."""
    in_use = TUNERS[spec.method.tuner].settings == settings and METHODS[spec.method.type].bypasses_head
    return heads(getattr(getattr(spec.method, settings), "target_modules", None)) if in_use else []


def _head_rule(settings: str) -> Rule[Any]:
    return job_rule(
        code="E109",
        path=f"method.{settings}.targetModules",
        broken=lambda spec: bool(heads_of(spec, settings)),
        says=lambda spec: (
            f"an adapter on {', '.join(heads_of(spec, settings))} would stay untrained: the trainer computes the loss from its base weight"
        ),
        refuses="an adapter on the output head",
        way_out="Take it out of targetModules; to train the head in full, name it in modulesToSave.",
    )


def feedforward_elsewhere(spec: FineTuneJobSpec) -> list[str]:
    """Return the feed-forward modules of ia3 that are no target modules."""
    ia3 = spec.method.ia3
    if ia3 is None or not isinstance(ia3.feedforward_modules, tuple) or not isinstance(ia3.target_modules, tuple):
        return []
    return [name for name in ia3.feedforward_modules if name not in ia3.target_modules]


RULES: tuple[Rule[Any], ...] = (
    job_rule(
        code="E101",
        path="method.lora.useDora",
        broken=USES_DORA & QUANTIZED & HAS_DEEPSPEED & text("deepspeed.stage").among(WITHOUT_DORA),
        also=lambda spec: dora_fails(spec, raw_stage(spec)),
        says=lambda spec: (
            f"useDora with quantization {spec.method.quantization.type} crashes under ZeRO-3: quantised weights cannot "
            f"be sharded there (peft#1731)"
        ),
        refuses="DoRA on a quantised base under ZeRO-3",
        way_out="Set deepspeed.stage to 2, or useDora to false, or quantization.type to none.",
    ),
    job_rule(
        code="E102",
        path="method.quantization.type",
        broken=QUANTIZED & ~field("method.tuner").among(QUANTIZABLE),
        says=lambda spec: (
            f"quantization {spec.method.quantization.type} stores weights that the tuner {spec.method.tuner} cannot train or adapt"
        ),
        refuses=f"quantization with another tuner than {' or '.join(QUANTIZABLE)}",
        way_out="Set method.tuner to lora, or quantization.type to none.",
    ),
    job_rule(
        code="E104",
        path="method.lora.initLoraWeights",
        broken=_start_fails_here,
        says=lambda spec: (
            f"{lora_of(spec).init_lora_weights} decomposes whole base weights, which a quantised base or ZeRO-3 does not have"
        ),
        refuses="PiSSA on a quantised base or under ZeRO-3",
        way_out="Prepare the PiSSA base offline, or choose initLoraWeights: true, or stage 2 without quantization.",
    ),
    job_rule(
        code="E106",
        path="method.lora.useDora",
        broken=USES_DORA & BESIDE_DORA.any,
        says=lambda spec: f"useDora excludes {', '.join(BESIDE_DORA.texts(spec))}",
        refuses="DoRA with loraBias or targetParameters",
        way_out="Remove those settings, or set useDora to false.",
    ),
    job_rule(
        code="E108",
        path="method.lora.layersToTransform",
        broken=lambda spec: bool(layer_conflict(lora_of(spec))),
        says=lambda spec: layer_conflict(lora_of(spec)),
        refuses="a choice of layers that contradicts the choice of modules",
        way_out="Give targetModules as a list and layersToTransform with it, or leave the layer settings out.",
    ),
    *(_head_rule(row.settings) for row in TUNERS.values() if row.supported and row.settings is not None),
    job_rule(
        code="E110",
        path="training.gradientCheckpointing",
        broken=field("method.tuner").among(WITHOUT_CHECKPOINTING) & flag("training.gradientCheckpointing"),
        says=lambda _: "prefixTuning feeds its prefix through the key-value cache, which gradientCheckpointing: true turns off (peft#869)",
        refuses="prefix tuning with gradient checkpointing",
        way_out="Set training.gradientCheckpointing to false.",
    ),
    job_rule(
        code="E111",
        path="method.lora.loftqConfig",
        broken=lambda spec: (lora_of(spec).init_lora_weights == LOFTQ.name) != (lora_of(spec).loftq_config is not None),
        says=lambda spec: (
            f"initLoraWeights {as_written(lora_of(spec).init_lora_weights)} and loftqConfig "
            f"{as_written(lora_of(spec).loftq_config)}: one without the other"
        ),
        refuses="initLoraWeights loftq without loftqConfig, or the reverse",
        way_out="Give both: initLoraWeights: loftq and loftqConfig: {loftqBits: 4}; or neither.",
    ),
    job_rule(
        code="E112",
        path="method.quantization.quantType",
        broken=~field("method.quantization.type").among(FOUR_BIT) & field("method.quantization.quantType").differs(QUANT_TYPE),
        says=lambda spec: (
            f"quantType {spec.method.quantization.quant_type} is a four-bit type, and quantization.type "
            f"{spec.method.quantization.type} would ignore it"
        ),
        refuses="a four-bit type without four-bit quantization",
        way_out="Set quantization.type to bnb4, or leave quantType out.",
    ),
    job_rule(
        code="E113",
        path="method.ia3.feedforwardModules",
        broken=lambda spec: bool(feedforward_elsewhere(spec)),
        says=lambda spec: f"{', '.join(feedforward_elsewhere(spec))} is listed here and not in method.ia3.targetModules",
        refuses="feed-forward modules that are no target modules",
        way_out="List them in method.ia3.targetModules too, or remove them from feedforwardModules.",
    ),
)
