"""E301-E304, E313: examples and the loss on them. Sources: trl 1.16.0 (trainer/sft_trainer.py), checks of axolotl and LLaMA-Factory."""

from typing import Any

from tunewright.api.problems import as_written
from tunewright.api.rules.predicates import Predicate, any_of, exists, field, flag, has, size
from tunewright.api.rules.table import Rule, job_rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.data_formats import DATA_FORMATS
from tunewright_contract.capabilities.methods import METHODS

UNPACKABLE = METHODS.where(lambda row: not row.packable)
WITHOUT_COMPLETION = DATA_FORMATS.where(lambda row: row.completion is False)
WITHOUT_TURNS = DATA_FORMATS.where(lambda row: row.turns is False)


def formats(spec: FineTuneJobSpec, unfit: tuple[str, ...]) -> list[str]:
    """Return which of these formats the job sets for its data sets. Check detects a format that is left out."""
    data = spec.data
    return sorted({entry.format for entry in (*data.train, *data.validation, *data.test) if entry.format in unfit})


def _any_format(unfit: tuple[str, ...]) -> Predicate:
    """Return the condition that a data set has one of these formats by its `format` field."""
    named = has("format", of="d") & field("format", of="d").among(unfit)
    return any_of(*(exists(f"data.{split}", "d", named) for split in ("train", "validation", "test")))


RULES: tuple[Rule[Any], ...] = (
    job_rule(
        code="E301",
        path="data.packing",
        broken=flag("data.packing") & field("method.type").among(UNPACKABLE),
        says=lambda spec: f"packing joins examples, but type {spec.method.type} compares them one by one",
        refuses=f"packing with {', '.join(UNPACKABLE[:-1])} or {UNPACKABLE[-1]}",
        way_out="Set data.packing to false.",
    ),
    job_rule(
        code="E302",
        path="data.paddingFree",
        broken=flag("data.paddingFree") & ~flag("data.packing"),
        says=lambda spec: f"paddingFree without packing does not enforce maxLength {spec.data.max_length}",
        refuses="paddingFree without packing",
        way_out="Set data.packing to true, or paddingFree to false.",
    ),
    job_rule(
        code="E303",
        path="data.completionOnlyLoss",
        broken=has("data.completionOnlyLoss") & flag("data.completionOnlyLoss") & _any_format(WITHOUT_COMPLETION),
        says=lambda spec: (
            f"completionOnlyLoss: true needs prompt and completion apart, which format "
            f"{', '.join(formats(spec, WITHOUT_COMPLETION))} has not"
        ),
        refuses="completionOnlyLoss with data that has no completion",
        way_out="Leave completionOnlyLoss out, or bring the data as promptCompletion.",
    ),
    job_rule(
        code="E303",
        path="data.assistantOnlyLoss",
        broken=has("data.assistantOnlyLoss") & flag("data.assistantOnlyLoss") & _any_format(WITHOUT_TURNS),
        says=lambda spec: (
            f"assistantOnlyLoss: true needs turns of a conversation, which format {', '.join(formats(spec, WITHOUT_TURNS))} has not"
        ),
        refuses="assistantOnlyLoss with data that is no conversation",
        way_out="Leave assistantOnlyLoss out, or bring the data as messages.",
    ),
    job_rule(
        code="E304",
        path="data.streaming",
        broken=flag("data.streaming") & field("training.maxSteps").below(1),
        says=lambda spec: f"a stream has no length, so epochs cannot be counted, and training.maxSteps is {spec.training.max_steps}",
        refuses="streaming without maxSteps",
        way_out="Set training.maxSteps.",
    ),
    job_rule(
        code="E304",
        path="data.valSetSize",
        broken=flag("data.streaming") & size("data.validation").equals(0) & (~has("data.valSetSize") | field("data.valSetSize").above(0.0)),
        says=lambda spec: f"a share of {as_written(spec.data.validation_share())} cannot be split off a stream",
        refuses="splitting validation data off a stream",
        way_out="Give data.validation, or valSetSize: 0.",
    ),
    job_rule(
        code="E313",
        path="data.docStride",
        broken=has("data.docStride") & ~field("data.docStride").below(field("data.maxLength")),
        says=lambda spec: f"windows of maxLength {spec.data.max_length} tokens cannot overlap by {spec.data.doc_stride}",
        refuses="a docStride that is not below maxLength",
        way_out="Lower data.docStride: a window needs room for the question, and for more of the context than the windows share.",
    ),
)
