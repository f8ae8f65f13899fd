"""Jobs, observations and progress for tests of status."""

from datetime import UTC, datetime, timedelta
from typing import Any

from plan_builders import UID
from plan_jobs import past_of

from tunewright.api.v1alpha1.job import FineTuneJob, parse
from tunewright.observe.observation import Observation
from tunewright.plan.inputs import ServeOutcome, StageOutcome, StageState, TrainOutcome
from tunewright_contract.progress import ProgressReport
from tunewright_contract.reports import (
    Artifact,
    CheckReport,
    DataFacts,
    EvaluationReport,
    ExportReport,
    ModelFacts,
    ParityReport,
    Score,
    SplitFacts,
    TrainReport,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
URL = "http://support-bot-serve.default.svc"

CHECKED = CheckReport(
    model=ModelFacts(
        architecture="phi3",
        parameters=3_821_079_552,
        trainable_parameters=8_912_896,
        linear_parameters=3_623_878_656,
        largest_layer_parameters=113_000_000,
        hidden_size=3072,
        layers=32,
        vocab_size=32064,
        context_length=4096,
    ),
    data=DataFacts(
        format="messages",
        sha256="ab" * 32,
        train=SplitFacts(samples=3000, truncated=2),
        validation=SplitFacts(samples=100),
        test=SplitFacts(samples=50),
    ),
    exporter="genai",
    warnings=["2 of 3000 examples are longer than maxLength"],
)
TRAINED = TrainReport(step=120, max_steps=120, train_loss=1.4, eval_loss=1.31, resumed_from_step=60)
PARITY = ParityReport(max_logit_difference=0.012345678, mean_kl=1.5e-6, top1_agreement=0.998, positions=512)
EXPORTED = ExportReport(
    artifacts=[Artifact(path="support-bot/3f9a1c2b", precision="int8", bytes=7_000_000, sha256="cd" * 32, parity=PARITY)],
    evaluation=EvaluationReport(
        base=Score(loss=3.2, token_accuracy=0.31, samples=50), tuned=Score(loss=1.31, token_accuracy=0.7, exact_match=0.42, samples=50)
    ),
)


def a_job(*, serving: bool = True, generation: int = 1, **more: Any) -> FineTuneJob:
    """The smallest job there is."""
    spec: dict[str, Any] = {
        "task": "ChatCompletion",
        "model": {"source": {"path": "/home/ada/base-model"}},
        "data": {"train": [{"source": {"path": "/home/ada/data/train.jsonl"}}]},
    }
    return parse(
        {
            "apiVersion": "tunewright.io/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": "support-bot", "uid": UID, "generation": generation},
            "spec": spec | ({"serving": {}} if serving else {}) | more,
        }
    )


def seen(*done: str, **outcomes: Any) -> Observation:
    """What was observed: stages that are done, with their reports, and the outcome of others."""
    succeeded: dict[str, Any] = {
        "check": StageOutcome(state=StageState.SUCCEEDED, report=CHECKED),
        "train": TrainOutcome(state=StageState.SUCCEEDED, report=TRAINED, attempts=1),
        "export": StageOutcome(state=StageState.SUCCEEDED, report=EXPORTED),
        "serve": ServeOutcome(state=StageState.SUCCEEDED, ready_replicas=1, url=URL),
    }
    failed_pods = outcomes.pop("failed_pods", {})
    return Observation(past=past_of(**{name: succeeded[name] for name in done} | outcomes), failed_pods=failed_pods)


def posted(*, at: float = 0, percentage: int | None = None, **metrics: Any) -> ProgressReport:
    """A progress report, `at` so many seconds after noon."""
    return ProgressReport.model_validate(
        {
            "trainerStatus": {
                "progressPercentage": percentage,
                "metrics": [{"name": name, "value": str(value)} for name, value in metrics.items()],
                "lastUpdatedTime": (NOON + timedelta(seconds=at)).isoformat(),
            }
        }
    )
