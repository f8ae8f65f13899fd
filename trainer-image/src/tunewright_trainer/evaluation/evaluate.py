"""Scores the base model and the tuned one on the same held-out examples.

Loss and accuracy are means over supervised tokens, teacher-forced. Answers are generated with the server's defaults: greedily,
or sampled with a fixed seed if the base model's generation_config.json samples. An answer is correct if it
equals the reference, without surrounding white space.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright_contract.generation_config import GREEDY, GenerationDefaults
from tunewright_contract.reports import EvaluationReport, Score
from tunewright_trainer.evaluation.held_out import Example, HeldOut, Question

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH_TOKENS = 4096  # logits of a batch stay below 1 GiB up to a vocabulary of 65,000
_BATCH_QUESTIONS = 32
_SEED = 0


@dataclass(frozen=True)
class Result:
    """One model's score, and its answers in the order of the questions."""

    score: Score
    answers: list[str]


@dataclass(frozen=True)
class Evaluator:
    """Scores any model on the same examples. `stop` are the token ids that end an answer, `defaults` the sampling parameters."""

    held_out: HeldOut
    tokenizer: "PreTrainedTokenizerBase"
    stop: list[int]
    max_new_tokens: int
    defaults: GenerationDefaults = GREEDY

    def evaluate(self, model: "PreTrainedModel") -> Result:
        """Score an fp32 model in evaluation mode."""
        loss, accuracy = token_scores(model, self.held_out.scored, pad=self._pad)
        answers = list(self._answers(model))
        right = [answer.strip() == question.reference.strip() for answer, question in zip(answers, self.held_out.questions, strict=True)]
        exact = sum(right) / len(right) if right else None
        return Result(Score(loss=loss, token_accuracy=accuracy, exact_match=exact, samples=len(self.held_out.scored)), answers)

    @property
    def _generation(self) -> dict[str, Any]:
        """Return the arguments of `generate` for the server's defaults."""
        served = self.defaults
        if served.greedy:
            return {"do_sample": False, "repetition_penalty": served.repetition_penalty}
        drawn = {name: getattr(served, name) for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")}
        return {"do_sample": True, **drawn}

    @property
    def _pad(self) -> int:
        pad, eos = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        return int(eos if pad is None else pad)

    def _answers(self, model: "PreTrainedModel") -> Iterator[str]:
        import torch

        # The penalty applies to all tokens before, which would include padding.
        at_once = _BATCH_QUESTIONS if self.defaults.repetition_penalty == 1 else 1
        torch.manual_seed(_SEED)
        for start in range(0, len(self.held_out.questions), at_once):
            questions = self.held_out.questions[start : start + at_once]
            ids, mask = _pad_left([question.ids for question in questions], self._pad)
            with torch.no_grad():
                output = model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=self.max_new_tokens,
                    **self._generation,
                    eos_token_id=self.stop,
                    pad_token_id=self._pad,
                )
            for answer in output[:, ids.shape[1] :].tolist():
                end = next((at for at, token in enumerate(answer) if token in self.stop), len(answer))
                yield self.tokenizer.decode(answer[:end], skip_special_tokens=True)


def token_scores(model: "PreTrainedModel", examples: list[Example], *, pad: int) -> tuple[float, float]:
    """Return mean cross entropy in nats and accuracy, over every supervised token of all examples together."""
    import torch

    loss, right, count = 0.0, 0, 0
    for batch in _by_length(examples):
        width = max(len(example.ids) for example in batch)
        ids = torch.tensor([example.ids + [pad] * (width - len(example.ids)) for example in batch])
        said = torch.tensor([example.supervised + [False] * (width - len(example.ids)) for example in batch])
        mask = torch.tensor([[1] * len(example.ids) + [0] * (width - len(example.ids)) for example in batch])
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
        chosen, targets = logits[:, :-1][said[:, 1:]], ids[:, 1:][said[:, 1:]]
        loss += float(torch.nn.functional.cross_entropy(chosen, targets, reduction="sum"))
        right += int((chosen.argmax(-1) == targets).sum())
        count += len(targets)
    return loss / count, right / count


def write_evaluation(path: Path, questions: list[Question], base: Result, tuned: Result) -> EvaluationReport:
    """Write both scores and, for each question, the reference and both models' answers. Returns the scores.

    A question of a conversation has its `messages`, so that the same request can be sent to a server.
    """
    report = EvaluationReport(base=base.score, tuned=tuned.score)
    answers = [
        {"question": question.text, **_asked(question), "reference": question.reference, "base": before, "tuned": after}
        for question, before, after in zip(questions, base.answers, tuned.answers, strict=True)
    ]
    document = {**report.model_dump(mode="json", exclude_none=True), "answers": answers}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return report


def _asked(question: Question) -> dict[str, list[dict[str, str]]]:
    return {"messages": question.messages} if question.messages else {}


def _by_length(examples: list[Example]) -> Iterator[list[Example]]:
    """Batches of similar length, each of at most `_BATCH_TOKENS` with its padding, or of one example."""
    batch: list[Example] = []
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if batch and (len(batch) + 1) * len(example.ids) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(example)
    if batch:
        yield batch


def _pad_left(prompts: list[list[int]], pad: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Ids and mask [prompts, longest]; a decoder continues from the right end, so the padding is on the left."""
    import torch

    width = max(len(prompt) for prompt in prompts)
    ids = [[pad] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)
