"""The model card: what a person who finds the folder wants to know, in the words of its manifest."""

from tunewright_contract.model_manifest import Lineage
from tunewright_contract.reports import EvaluationReport, ParityReport, Score
from tunewright_contract.trainer_config import TrainerConfig


def write_card(config: TrainerConfig, *, lineage: Lineage, parity: ParityReport, evaluation: EvaluationReport | None) -> str:
    """Markdown with the base, the method, the scores and how close the export is."""
    method = config.method
    adapter = (method.lora or {}) if method.tuner == "lora" else {}
    kind = "full fine-tuning" if method.tuner == "full" else "DoRA" if adapter.get("use_dora") else "LoRA"
    quantised = " on a quantised base, dequantised before merging" if method.quantization else ""
    rows = [
        ("job", f"{config.job.namespace}/{config.job.name}, revision {config.job.revision}"),
        ("task", config.task),
        ("base", lineage.base),
        ("data", f"sha256:{lineage.data_sha256}"),
        ("method", f"{method.type}, {kind}{quantised}"),
        ("precision", config.export.precision),
    ]
    facts = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {config.job.name}\n\nFine-tuned and exported by Tunewright; `tunewright.json` says the same for machines.\n\n"
        f"| | |\n|---|---|\n{facts}\n\n{_evaluation(evaluation)}"
        f"## Parity with the trained model\n\n{parity.positions} positions of held-out examples, against the trained model in fp32: "
        f"top-1 agreement {parity.top1_agreement:.4f}, mean KL {parity.mean_kl:.3g}, "
        f"largest logit difference {parity.max_logit_difference:.3g}.\n"
    )


def _evaluation(evaluation: EvaluationReport | None) -> str:
    if evaluation is None:
        return ""
    return (
        f"## On {evaluation.tuned.samples} held-out examples\n\n| | base | tuned |\n|---|---|---|\n"
        f"{_row('loss', evaluation, 'loss')}{_row('token accuracy', evaluation, 'token_accuracy')}"
        f"{_row('exact match', evaluation, 'exact_match')}\n"
    )


def _row(name: str, evaluation: EvaluationReport, field: str) -> str:
    before, after = (_value(score, field) for score in (evaluation.base, evaluation.tuned))
    return f"| {name} | {before} | {after} |\n" if before else ""


def _value(score: Score, field: str) -> str:
    value = getattr(score, field)
    return "" if value is None else f"{value:.4f}"
