"""Scores an encoder-decoder on held-out pairs, and records what its export is compared with.

Loss and accuracy are means over the targets' tokens, teacher-forced. Answers are greedy, as the server's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunewright_contract.reports import Score
from tunewright_trainer.data.tokenization import IGNORED
from tunewright_trainer.evaluation.evaluate import Result
from tunewright_trainer.evaluation.exported_models import ExportedSequenceToSequence, FloatArray
from tunewright_trainer.evaluation.generated_text import text_metrics
from tunewright_trainer.evaluation.parity import GREEDY_TOKENS, GreedyPair

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_BATCH_TOKENS = 2048  # of sources or targets with their padding: logits stay below 1 GiB up to a vocabulary of 128,000
_BATCH_ANSWERS = 16
_SCORES = {"rougeL": "rouge_l", "rougeLsum": "rouge_lsum"}  # metrics whose field of `Score` is spelt otherwise


@dataclass(frozen=True)
class Pair:
    """Token ids of both sides, the target with its end token, and the texts."""

    source: list[int]
    target: list[int]
    question: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class PairEvaluator:
    """Scores any model on the same pairs, and the first `answered` of them by their greedy answers."""

    pairs: Sequence[Pair]
    answered: int
    metrics: tuple[str, ...]
    tokenizer: "PreTrainedTokenizerBase"
    stop: list[int]
    max_new_tokens: int
    pad: int

    def evaluate(self, model: "PreTrainedModel") -> Result:
        """Score an fp32 model in evaluation mode, whose generation configuration is greedy."""
        loss, accuracy = token_scores(model, self.pairs, pad=self.pad)
        asked = self.pairs[: self.answered]
        answers = list(self._answers(model, asked))
        references = [pair.reference for pair in asked]
        scores: dict[str, float] = {}
        if asked:
            right = [answer.strip() == reference.strip() for answer, reference in zip(answers, references, strict=True)]
            measured = text_metrics(self.metrics, answers, references)
            scores = {"exact_match": sum(right) / len(right), **{_SCORES.get(name, name): value for name, value in measured.items()}}
        return Result(Score(loss=loss, token_accuracy=accuracy, samples=len(self.pairs), **scores), answers)

    def _answers(self, model: "PreTrainedModel", asked: Sequence[Pair]) -> Iterator[str]:
        import torch

        for start in range(0, len(asked), _BATCH_ANSWERS):
            ids, mask = padded([pair.source for pair in asked[start : start + _BATCH_ANSWERS]], self.pad)
            room = target_room(model.config, self.max_new_tokens)
            with torch.no_grad():
                output = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=room, eos_token_id=self.stop)
            for answer in output[:, 1:].tolist():
                end = next((at for at, token in enumerate(answer) if token in self.stop), len(answer))
                yield self.tokenizer.decode(answer[:end], skip_special_tokens=True).strip()


def target_room(config: "PretrainedConfig", wanted: int) -> int:
    """Return the tokens that a target may have behind its start: `wanted`, or what the positions leave."""
    positions = getattr(config, "max_position_embeddings", None)
    return wanted if positions is None else min(wanted, positions - 1)


def token_scores(model: "PreTrainedModel", pairs: Sequence[Pair], *, pad: int) -> tuple[float, float]:
    """Return the mean cross entropy in nats and accuracy, over every token of all targets together."""
    import torch

    loss, right, count = 0.0, 0, 0
    for batch in _batches(pairs):
        ids, mask = padded([pair.source for pair in batch], pad)
        labels, _ = padded([pair.target for pair in batch], IGNORED)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, labels=labels).logits
        said = labels != IGNORED
        chosen, targets = logits[said], labels[said]
        loss += float(torch.nn.functional.cross_entropy(chosen, targets, reduction="sum"))
        right += int((chosen.argmax(-1) == targets).sum())
        count += len(targets)
    return loss / count, right / count


class PairReference:
    """The trained model's logits of some pairs, kept on disk, and its greedy answers to the first few sources."""

    def __init__(self, pairs: Sequence[Pair], stop: list[int], folder: Path, *, start: int, greedy_prompts: int) -> None:
        self._pairs, self._stop, self._folder = pairs, stop, folder
        self._start, self._greedy_prompts = start, greedy_prompts
        self._greedy: list[tuple[list[int], int, list[int], FloatArray]] = []

    def record(self, trained: "PreTrainedModel") -> None:
        """Run an fp32 model in evaluation mode, whose generation configuration is greedy."""
        import torch

        for number, pair in enumerate(self._pairs):
            with torch.no_grad():
                output = trained(input_ids=torch.tensor([pair.source]), decoder_input_ids=torch.tensor([self._forced(pair)]))
            np.save(self._file(number), output.logits[0].float().numpy())
        room = target_room(trained.config, GREEDY_TOKENS)
        for pair in self._pairs[: self._greedy_prompts]:
            ids = torch.tensor([pair.source])
            with torch.no_grad():
                told = trained.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=room,
                    eos_token_id=self._stop,
                    return_dict_in_generate=True,
                    output_logits=True,
                )
            self._greedy.append((pair.source, room, told.sequences[0, 1:].tolist(), torch.cat(told.logits).float().numpy()))

    def against(self, exported: ExportedSequenceToSequence) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield (trained, exported) logits [target tokens, vocab], pair by pair."""
        for number, pair in enumerate(self._pairs):
            yield np.load(self._file(number)), exported.logits(pair.source, self._forced(pair))

    def greedy_against(self, exported: ExportedSequenceToSequence) -> Iterator[GreedyPair]:
        """Yield greedy answers of both, decoded token by token through their caches."""
        for source, room, answer, logits in self._greedy:
            told = exported.greedy(source, max_new_tokens=room, stop=frozenset(self._stop))
            yield GreedyPair(trained=answer, exported=told, logits=logits)

    def _forced(self, pair: Pair) -> list[int]:
        return [self._start, *pair.target[:-1]]

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.npy"


def padded(rows: Sequence[list[int]], fill: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return ids and mask [rows, longest], padded on the right."""
    import torch

    width = max(len(row) for row in rows)
    ids = [row + [fill] * (width - len(row)) for row in rows]
    return torch.tensor(ids), torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def _batches(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Yield batches of similar length, each of at most `_BATCH_TOKENS` on either side, or of one pair."""
    batch: list[Pair] = []
    widest = 0
    for pair in sorted(pairs, key=lambda pair: max(len(pair.source), len(pair.target))):
        widest = max(widest, len(pair.source), len(pair.target))
        if batch and (len(batch) + 1) * widest > _BATCH_TOKENS:
            yield batch
            batch, widest = [], max(len(pair.source), len(pair.target))
        batch.append(pair)
    if batch:
        yield batch
