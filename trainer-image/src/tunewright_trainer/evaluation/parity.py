"""The parity check: compares the exported model's outputs with the trained model's before the rollout.

Measured teacher-forced on real, templated examples, at every supervised position: the exported logits against those of the trained model
in fp32, recorded with the adapter still beside the base. So the check finds a faulty merge, too. The figures are the
usual ones: largest absolute logit difference, mean KL(trained || exported) in nats, share of equal argmax. The recorded logits are kept on
disk, one file per example: together they may be larger than the model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import ParityReport
from tunewright_contract.trainer_config import ParityConfig, Precision
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.evaluation.exported_models import ExportedDecoder, FloatArray
from tunewright_trainer.evaluation.held_out import Example

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The difference that another order of fp32 arithmetic can make to a logit of ordinary size. Within it, two greedy tokens are nearly tied.
_TIE = 1e-3
GREEDY_PROMPTS, GREEDY_TOKENS = 4, 24


@dataclass(frozen=True)
class GreedyPair:
    """Two greedy answers to one prompt, and the trained model's logits [len(trained), vocab] along its own answer."""

    trained: list[int]
    exported: list[int]
    logits: FloatArray


def compare(pairs: Iterable[tuple[FloatArray, FloatArray]]) -> ParityReport:
    """Compare (trained, exported) logits, each [positions, vocab], one example at a time. Raises `ValueError` if there is none."""
    worst, divergence, agreed, positions = 0.0, 0.0, 0, 0
    for trained, exported in pairs:
        if not np.isfinite(exported).all():
            worst = float("inf")
        worst = max(worst, float(np.abs(trained - exported).max()))
        log_p, log_q = _log_softmax(trained), _log_softmax(exported)
        divergence += float((np.exp(log_p) * (log_p - log_q)).sum())
        agreed += int((trained.argmax(-1) == exported.argmax(-1)).sum())
        positions += len(trained)
    if not positions:
        raise ValueError("parity needs at least one example")
    return ParityReport(
        max_logit_difference=worst, mean_kl=max(0.0, divergence / positions), top1_agreement=agreed / positions, positions=positions
    )


def gate(report: ParityReport, config: ParityConfig, *, precision: Precision) -> None:
    """Let the export pass, or raise `StageError` (CONFIGURATION, ParityFailed) with figures, tolerance and way out."""
    misses = []
    # This form of the comparison also fails for a NaN.
    if not np.isfinite(report.max_logit_difference):
        misses.append("the exported logits are not finite")
    elif config.max_logit_difference is not None and not report.max_logit_difference <= config.max_logit_difference:
        misses.append(
            f"largest logit difference {report.max_logit_difference:.3g}, allowed maxLogitDifference {config.max_logit_difference:g}"
        )
    if not report.top1_agreement >= config.min_top1_agreement:
        misses.append(f"top-1 agreement {report.top1_agreement:.4f}, required minTop1Agreement {config.min_top1_agreement:g}")
    if misses:
        figures = f"{report.positions} positions, mean KL {report.mean_kl:.3g}, largest logit difference {report.max_logit_difference:.3g}"
        raise _failed(f"the {precision} export does not match the trained model: {'; '.join(misses)} ({figures})", precision)


def gate_greedy(pairs: Iterable[GreedyPair], *, precision: Precision) -> None:
    """For fp32: require the same greedy tokens, except where two are nearly tied. Raises `StageError` (ParityFailed)."""
    for number, pair in enumerate(pairs):
        split = next((at for at, (a, b) in enumerate(zip(pair.trained, pair.exported, strict=False)) if a != b), None)
        if split is None:
            continue  # equal up to the shorter one, and both end at the same stop token or length
        ours, theirs = pair.logits[split][pair.trained[split]], pair.logits[split][pair.exported[split]]
        if float(ours - theirs) > _TIE:
            message = (
                f"greedy decoding of prompt {number} differs from token {split}: trained {pair.trained[split]}, "
                f"exported {pair.exported[split]}, {float(ours - theirs):.3g} apart in the trained model's logits"
            )
            raise _failed(message, precision)


def _failed(message: str, precision: Precision) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "ParityFailed", message, _way_out(precision))


def _way_out(precision: Precision) -> str:
    wider = EXPORT_PRECISIONS[precision].wider
    if wider is None:
        return "The graph itself is wrong: report it with the model's config.json. Nothing was published; the present server continues."
    return f"Use output.onnx.precision: {wider}, or loosen output.onnx.parity if these figures are good enough. Nothing was published."


def _log_softmax(logits: FloatArray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    logarithms: np.ndarray = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return logarithms


class Reference:
    """The recorded logits of some examples, and greedy answers to the first few of their prompts."""

    def __init__(self, examples: list[Example], stop: list[int], folder: Path, *, greedy_prompts: int = GREEDY_PROMPTS) -> None:
        self.examples = examples
        self._stop = stop
        self._folder = folder
        self._greedy_prompts = greedy_prompts
        self._greedy: list[tuple[list[int], int, list[int], FloatArray]] = []

    def record(self, trained: "PreTrainedModel") -> None:
        """Run an fp32 model in evaluation mode on all inputs of the export's comparison."""
        import torch

        for number, example in enumerate(self.examples):
            with torch.no_grad():
                logits = trained(input_ids=torch.tensor([example.ids])).logits[0]
            np.save(self._file(number), logits[example.speaking].float().numpy())
        # Learned positions end at the context, so a prompt that fills it has no greedy answer.
        context = getattr(trained.config, "max_position_embeddings", None)
        for example in self.examples:
            room = GREEDY_TOKENS if context is None else min(GREEDY_TOKENS, context - len(example.prompt))
            if room < 1 or len(self._greedy) == self._greedy_prompts:
                continue
            with torch.no_grad():
                output = trained.generate(
                    input_ids=torch.tensor([example.prompt]),
                    attention_mask=torch.ones(1, len(example.prompt), dtype=torch.long),
                    max_new_tokens=room,
                    do_sample=False,
                    eos_token_id=self._stop,
                    pad_token_id=self._stop[0],
                    return_dict_in_generate=True,
                    output_logits=True,
                )
            answer = output.sequences[0, len(example.prompt) :].tolist()
            self._greedy.append((example.prompt, room, answer, torch.cat(output.logits).float().numpy()))

    def against(self, exported: ExportedDecoder) -> Iterator[tuple[FloatArray, FloatArray]]:
        """(trained, exported) logits [positions, vocab], example by example, at the supervised positions."""
        for number, example in enumerate(self.examples):
            yield np.load(self._file(number)), exported.logits(example.ids)[example.speaking]

    def greedy_against(self, exported: ExportedDecoder) -> Iterator[GreedyPair]:
        """Greedy answers of both, decoded token by token through their caches."""
        for prompt, room, answer, logits in self._greedy:
            said = exported.greedy(prompt, max_new_tokens=room, stop=frozenset(self._stop))
            yield GreedyPair(trained=answer, exported=said, logits=logits)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.npy"
