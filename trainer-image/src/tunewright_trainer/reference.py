"""What the trained model itself says, recorded before its adapter is merged: the yardstick of parity.

Logits are kept on disk, one file per example: together they may be larger than the model.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunewright_trainer.held_out import Example
from tunewright_trainer.onnx_runner import ExportedDecoder, FloatArray
from tunewright_trainer.parity import GreedyPair

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GREEDY_PROMPTS, GREEDY_TOKENS = 4, 24


class Reference:
    """The recorded logits of some examples, and greedy answers to the first few of their prompts."""

    def __init__(self, examples: list[Example], stop: list[int], folder: Path, *, greedy_prompts: int = GREEDY_PROMPTS) -> None:
        self.examples = examples
        self._stop = stop
        self._folder = folder
        self._greedy_prompts = greedy_prompts
        self._greedy: list[tuple[list[int], int, list[int], FloatArray]] = []

    def record(self, trained: "PreTrainedModel") -> None:
        """Ask an fp32 model in evaluation mode everything that exports will be asked."""
        import torch

        for number, example in enumerate(self.examples):
            with torch.no_grad():
                logits = trained(input_ids=torch.tensor([example.ids])).logits[0]
            np.save(self._file(number), logits[example.speaking].float().numpy())
        # Learned positions end at the context: there is no greedy answer to a prompt that fills it.
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
        """(trained, exported) logits [positions, vocab], example by example, where the model speaks."""
        for number, example in enumerate(self.examples):
            yield np.load(self._file(number)), exported.logits(example.ids)[example.speaking]

    def greedy_against(self, exported: ExportedDecoder) -> Iterator[GreedyPair]:
        """Greedy answers of both, decoded token by token through their caches."""
        for prompt, room, answer, logits in self._greedy:
            said = exported.greedy(prompt, max_new_tokens=room, stop=frozenset(self._stop))
            yield GreedyPair(trained=answer, exported=said, logits=logits)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.npy"
