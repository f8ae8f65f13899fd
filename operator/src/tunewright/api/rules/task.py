"""E019, E021: fields that the task would ignore, or reads in a form of its own. A classifier has no conversation and generates no text.

A translator has no conversation either, and learns each token of its targets.
"""

from collections.abc import Callable
from typing import Any

from tunewright.api.problems import as_written
from tunewright.api.rules.predicates import Predicate, field, has
from tunewright.api.rules.table import Rule, job_rule
from tunewright.api.v1alpha1.data import DataSpec
from tunewright.api.v1alpha1.evaluation import EvaluationSpec
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.serving import SmokeTestSpec
from tunewright_contract.capabilities.tasks import TASKS

READS_WINDOWS = field("task").among(TASKS.where(lambda task: task.windows))
SMOOTHS_NO_LABELS = field("task").among(TASKS.where(lambda task: not task.smooths_labels))
GIVES_LABELS = field("task").among(TASKS.where(lambda task: not task.generates))
LEARNS_TARGETS = field("task").among(TASKS.where(lambda task: task.generates and not task.trl))
_DEFAULTS = EvaluationSpec()
_OVERLONG_POLICY = str(DataSpec.model_fields["overlong_policy"].default)
_TWO_PARTS = r"^[^\n]+\n(.|\n)+$"
_ANSWER_TOKENS = int(SmokeTestSpec.model_fields["max_tokens"].default)


def _unused(path: str, given: Predicate, value: Callable[[FineTuneJobSpec], Any], way_out: str) -> Rule[FineTuneJobSpec]:
    return job_rule(
        code="E019",
        path=path,
        broken=GIVES_LABELS & given,
        says=lambda spec: f"task {spec.task} generates no text, so {as_written(value(spec))} would be ignored",
        refuses=f"{path} with a task that generates no text",
        way_out=way_out,
    )


def _unused_beside_a_source(path: str, value: Callable[[FineTuneJobSpec], Any]) -> Rule[FineTuneJobSpec]:
    return job_rule(
        code="E019",
        path=path,
        broken=LEARNS_TARGETS & has(path),
        says=lambda spec: f"task {spec.task} reads a source and learns the whole target, so {as_written(value(spec))} would be ignored",
        refuses=f"{path} with a task that learns whole targets",
        way_out="Leave it out.",
    )


def _smoke_test_tokens(spec: FineTuneJobSpec) -> Any:
    return spec.serving.smoke_test.max_tokens if spec.serving and spec.serving.smoke_test else None


RULES: tuple[Rule[Any], ...] = (
    _unused("model.chatTemplate", has("model.chatTemplate"), lambda spec: spec.model.chat_template, "Leave it out."),
    _unused("data.completionOnlyLoss", has("data.completionOnlyLoss"), lambda spec: spec.data.completion_only_loss, "Leave it out."),
    _unused("data.assistantOnlyLoss", has("data.assistantOnlyLoss"), lambda spec: spec.data.assistant_only_loss, "Leave it out."),
    _unused(
        "evaluation.generateSamples",
        field("evaluation.generateSamples").above(_DEFAULTS.generate_samples),
        lambda spec: spec.evaluation.generate_samples,
        "Leave it out: evaluation.maxSamples is the number of texts that both models read.",
    ),
    _unused(
        "evaluation.maxNewTokens",
        field("evaluation.maxNewTokens").differs(_DEFAULTS.max_new_tokens),
        lambda spec: spec.evaluation.max_new_tokens,
        "Leave it out.",
    ),
    _unused(
        "serving.smokeTest.maxTokens",
        has("serving") & has("serving.smokeTest") & field("serving.smokeTest.maxTokens").differs(_ANSWER_TOKENS),
        _smoke_test_tokens,
        "Leave it out: contains is compared with the label or the entities.",
    ),
    _unused_beside_a_source("model.chatTemplate", lambda spec: spec.model.chat_template),
    _unused_beside_a_source("data.completionOnlyLoss", lambda spec: spec.data.completion_only_loss),
    _unused_beside_a_source("data.assistantOnlyLoss", lambda spec: spec.data.assistant_only_loss),
    job_rule(
        code="E019",
        path="data.docStride",
        broken=has("data.docStride") & ~READS_WINDOWS,
        says=lambda spec: f"task {spec.task} reads no windows, so {spec.data.doc_stride} would be ignored",
        refuses="data.docStride with a task that reads no windows",
        way_out="Leave it out. data.overlongPolicy decides about examples longer than maxLength.",
    ),
    job_rule(
        code="E019",
        path="data.overlongPolicy",
        broken=READS_WINDOWS & field("data.overlongPolicy").differs(_OVERLONG_POLICY),
        says=lambda spec: f"task {spec.task} reads a long context in windows, so {spec.data.overlong_policy} would be ignored",
        refuses="data.overlongPolicy with a task that reads long contexts in windows",
        way_out="Leave it out.",
    ),
    job_rule(
        code="E019",
        path="training.labelSmoothingFactor",
        broken=SMOOTHS_NO_LABELS & field("training.labelSmoothingFactor").above(0.0),
        says=lambda spec: (
            f"task {spec.task} computes its loss in the model, so {as_written(spec.training.label_smoothing_factor)} would be ignored"
        ),
        refuses="training.labelSmoothingFactor with a task whose model computes the loss",
        way_out="Leave it out.",
    ),
    job_rule(
        code="E021",
        path="serving.smokeTest.prompt",
        broken=READS_WINDOWS & has("serving") & has("serving.smokeTest") & ~field("serving.smokeTest.prompt").matches(_TWO_PARTS),
        says=lambda spec: f"task {spec.task} answers from a context, and the prompt has one line",
        refuses="a smoke test without a context for a task that answers from one",
        way_out="Write the question in the first line of the prompt, and the context in the lines after it.",
    ),
)
