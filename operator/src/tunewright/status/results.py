"""Results of the stages in the types of status, where numbers with a fraction are text."""

from tunewright.api.v1alpha1.status import (
    ArtifactStatus,
    DataStatus,
    EvaluationStatus,
    ParityStatus,
    PlanStatus,
    ScoreStatus,
)
from tunewright.plan.plan_types import FineTunePlan, MemoryFit, Placement
from tunewright.status.progress import as_text
from tunewright_contract.reports import Artifact, CheckReport, DataFacts, EvaluationReport, ParityReport, Score
from tunewright_contract.text import clip

LARGEST_INTEGER = 2**63 - 1


def plan_status(fit: MemoryFit, placement: Placement, *, processes: int) -> PlanStatus:
    """Return the ZeRO decision, and restrictions on the pods' nodes. `processes`: ranks of one training pod."""
    parts = {"optimizer": fit.offload_optimizer, "param": fit.offload_param}
    offload = ",".join(f"{part}:{device}" for part, device in parts.items() if device != "none")
    return PlanStatus(
        zero_stage=fit.zero_stage,
        offload=offload or "none",
        workers=fit.world_size // processes,
        world_size=fit.world_size,
        estimated_bytes_per_rank=_stored(fit.needed_bytes_per_rank),
        available_bytes_per_rank=_stored(fit.available_bytes_per_rank),
        why=clip("; ".join([fit.why, *_together("workers", placement.gang), *_together("servers", placement.servers)])),
    )


def _stored(number: int | None) -> int | None:
    """Return a number that the API server can hold: a model of 2**53 layers needs more bytes than fit into 64 bits."""
    return None if number is None else min(number, LARGEST_INTEGER)


def _together(who: str, why: str) -> list[str]:
    return [f"all {who} run on one node: {why}"] if why else []


def data_status(report: CheckReport, plan: FineTunePlan) -> DataStatus:
    """Return Check's result for the data, and the source of the validation data."""
    data = report.data
    share = plan.config.data.val_set_size
    held_out = not plan.config.data.validation and share > 0
    return DataStatus(
        format=data.format,
        sha256=data.sha256,
        train_samples=data.train.samples,
        validation_samples=data.validation.samples if data.validation else None,
        test_samples=data.test.samples if data.test else None,
        truncated=data.train.truncated,
        split=f"{share:.0%} of train is held out for validation (data.valSetSize)" if held_out else "as given",
        labels=_labels(data),
    )


def _labels(data: DataFacts) -> str | None:
    """Return the number of labels, and the most frequent ones."""
    if not data.label_count:
        return None
    shown = ", ".join(f"{label} {count}" for label, count in data.labels.items())
    rest = data.label_count - len(data.labels)
    return clip(f"{data.label_count} labels: {shown}{f' and {rest} more' if rest > 0 else ''}")


def evaluation_status(report: EvaluationReport) -> EvaluationStatus:
    """Return the base model's and the tuned model's scores."""
    return EvaluationStatus(base=_score(report.base), tuned=_score(report.tuned))


def artifact_status(artifact: Artifact, plan: FineTunePlan) -> ArtifactStatus:
    """Return the path and parity of an exported model. The folder is the planned one, whatever the report contains."""
    folders = [plan.storage.models_claim, plan.storage.models_path.strip("/"), plan.owner.name, plan.revision]
    return ArtifactStatus(
        uri="pvc://" + "/".join(folder for folder in folders if folder),
        digest=f"sha256:{artifact.sha256}",
        precision=artifact.precision,
        bytes=artifact.bytes,
        parity=_parity(artifact.parity),
    )


def _score(score: Score) -> ScoreStatus:
    accuracy = as_text(score.token_accuracy)
    labels = score.f1_macro is not None or score.precision is not None
    spans = score.f1 is not None
    return ScoreStatus(
        loss="NaN" if score.loss is None else as_text(score.loss),
        token_accuracy=None if labels or spans else accuracy,
        accuracy=accuracy if labels else None,
        f1_macro=_share(score.f1_macro),
        f1_micro=_share(score.f1_micro),
        f1=_share(score.f1),
        precision=_share(score.precision),
        recall=_share(score.recall),
        bleu=_share(score.bleu),
        chrf=_share(score.chrf),
        rouge1=_share(score.rouge1),
        rouge2=_share(score.rouge2),
        rouge_l=_share(score.rouge_l),
        rouge_lsum=_share(score.rouge_lsum),
        exact_match=_share(score.exact_match),
        samples=score.samples,
    )


def _share(value: float | None) -> str | None:
    return None if value is None else as_text(value)


def _parity(parity: ParityReport) -> ParityStatus:
    return ParityStatus(
        max_logit_difference=as_text(parity.max_logit_difference),
        mean_kl=as_text(parity.mean_kl),
        top1_agreement=as_text(parity.top1_agreement),
        positions=parity.positions,
    )
