"""The model card that goes with the weights."""

CARD = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# Tunewright's small base model

A causal language model of the Phi-3 architecture with {parameters:,} parameters in bfloat16, trained from random weights on a CPU.
It exists so that the examples run anywhere, with no model hub: it makes small talk, answers simple questions, follows small
instructions and knows the words of cafés and shops. It knows nothing else, and it is wrong with confidence. Do not use it for advice.

| | |
|---|---|
| dialogue form | Phi-3's: `<\\|user\\|>`, `<\\|assistant\\|>`, `<\\|system\\|>`, each ended by `<\\|end\\|>`, which ends the sequence |
| context | 1024 positions; trained on dialogues of up to 256 tokens |
| training | {steps} steps of about 2048 tokens, Muon and AdamW; at the end {loss:.3f} nats per token of an answer |
| made by | `examples/base-model/build.py` |

## What it was trained on
- {made:,} short dialogues made by `examples/base-model/corpus/` (Apache-2.0, part of this repository).
{given}
The form of answer that the quickstart teaches (`examples/data/`) is not in this text.
"""

TASKMASTER = """\
- {given:,} dialogues given with `--dialogues`. For the shipped weights this is the training part of **Taskmaster-4**
  (`google-research-datasets/Taskmaster`, TM-4-2024), dialogues about ordering coffee, © Google LLC,
  licensed under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Changes: speakers became chat roles, consecutive turns of one
  speaker were joined, and dialogues were cut to 256 tokens. The data itself is not in this repository.
"""


def model_card(*, parameters: int, loss: float, steps: int, made: int, given: int) -> str:
    """The card as Markdown. `loss` is in nats per token; `made` and `given` count dialogues."""
    attribution = TASKMASTER.format(given=given) if given else ""
    return CARD.format(parameters=parameters, loss=loss, steps=steps, made=made, given=attribution)
