"""FineTuneJobs and what is known about them, for the tests of the pure rooms: a valid base, and the changes a test is about."""

import re
from collections.abc import Mapping
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob, parse
from tunewright.plan.inputs import Past, References, StageOutcome, StageState, TrainOutcome
from tunewright.plan.plan_types import Rejection
from tunewright_contract import stages
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import CheckReport, DataFacts, ModelFacts, SplitFacts

PHI3_MINI = {
    "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "vocab_size": 32064, "num_attention_heads": 32,
    "num_key_value_heads": 32, "num_hidden_layers": 32, "max_position_embeddings": 4096,
}  # fmt: skip
PHI3_MEDIUM = PHI3_MINI | {
    "hidden_size": 5120, "intermediate_size": 17920, "num_attention_heads": 40, "num_key_value_heads": 10, "num_hidden_layers": 40,
}  # fmt: skip

BASE: Mapping[str, Any] = {
    "apiVersion": "tunewright.io/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "support-bot", "namespace": "default", "uid": "0b7c9d6e-1111-4222-8333-944445555666"},
    "spec": {
        "task": "ChatCompletion",
        "model": {"source": {"pvc": {"claimName": "models", "path": "phi3"}}},
        "data": {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "chat/train.jsonl"}}, "format": "messages"}]},
    },
}
GPU = {"resources": {"limits": {"nvidia.com/gpu": 1}}}


def raw_job(spec: Mapping[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """The base with changes merged into its spec; None removes a key."""
    return merged(BASE, {"spec": spec or {}, "metadata": metadata})


def job(spec: Mapping[str, Any] | None = None, **metadata: Any) -> FineTuneJob:
    """The same, parsed."""
    return parse(raw_job(spec, **metadata))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings at every depth. A change of None removes."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def rejected(decided: Any, match: str = "") -> Rejection:
    """The decision, which is a rejection whose text matches."""
    assert isinstance(decided, Rejection), decided
    assert re.search(match, str(decided)), str(decided)
    return decided


def facts(*, parameters: int = 3_821_079_552, trainable: int | None = 12_582_912, **changes: Any) -> ModelFacts:
    """Phi-3-mini with LoRA of rank 8, or what a test makes of it. `trainable=None`: all of it."""
    values = {
        "architecture": "phi3", "parameters": parameters, "trainable_parameters": parameters if trainable is None else trainable,
        "linear_parameters": 3_623_878_656, "largest_layer_parameters": 98_500_608, "hidden_size": 3072, "layers": 32,
        "vocab_size": 32064, "context_length": 4096,
    }  # fmt: skip
    return ModelFacts(**{**values, **changes})


def checked(model: ModelFacts | None = None) -> StageOutcome[CheckReport]:
    """Check has succeeded and reported a model."""
    data = DataFacts(format="messages", sha256="0" * 64, train=SplitFacts(samples=100))
    return StageOutcome(state=StageState.SUCCEEDED, report=CheckReport(model=model or facts(), data=data, exporter="genai"))


def past(
    *,
    check: StageState | StageOutcome[CheckReport] = StageState.ABSENT,
    train: StageState = StageState.ABSENT,
    attempts: int = 0,
    failures: int = 0,
    asks: Disposition | None = None,
    export: StageState = StageState.ABSENT,
) -> Past:
    """What has happened, in a line."""
    return past_of(
        check=check if isinstance(check, StageOutcome) else StageOutcome(state=check),
        train=TrainOutcome(state=train, attempts=attempts, counted_failures=failures, disposition=asks),
        export=StageOutcome(state=export),
    )


def past_of(so_far: Past | None = None, **outcomes: StageOutcome[Any]) -> Past:
    """What has happened, by the names of the stages; `so_far` is kept where no outcome is named."""
    for name, outcome in outcomes.items():
        so_far = (so_far or Past()).with_outcome(next(stage for stage in stages.STAGES if stage.name == name), outcome)
    return so_far or Past()


CLUSTER = References()
