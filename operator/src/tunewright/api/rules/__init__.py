"""The rules between fields, as one table. What holds for a single field stands with the field in `v1alpha1`.

`check` applies all of them and returns everything that is wrong. The rules that the API server can check itself carry a CEL
text, from which `crdgen` makes `x-kubernetes-validations`.

Codes E101-E402 are those of the design. These need facts that a specification does not hold, and belong to Check and to the plan:

| code | condition | decided by |
|---|---|---|
| E105 | ZeRO-3 with a base that lies quantised on disk (gptq, awq, fp8) | Check, from config.json |
| E107 | an entry of targetModules matches no module of the architecture | Check, on the meta device |
| E111 | adalora without totalStep | the plan computes it |
| E210 | merging inside a ZeRO-3 process | cannot be asked for: Export merges in a process of its own |
| E402 | checkpoints larger than the claim; estimated memory above the limits | the plan, once Check has counted the parameters |
| W501 | too many tokens truncated; a model that ignores num_items_in_batch | Check |

E101 and E104 speak of a stage that is asked for; `stage: Auto` never chooses stage 3 where they forbid it.
"""

from typing import Any

from tunewright.api.problems import Problem
from tunewright.api.rules import data, deepspeed, deepspeed_allowed, environment, evaluation, hardware, method, resources, shape
from tunewright.api.rules.table import Rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec

_ROOMS = (shape, environment, method, deepspeed, deepspeed_allowed, data, evaluation, hardware, resources)
RULES: tuple[Rule[Any], ...] = tuple(rule for room in _ROOMS for rule in room.RULES)


def check(spec: FineTuneJobSpec, *, begun: bool = False) -> tuple[Problem, ...]:
    """Return every violation, in the table's order. `begun`: a gang has; what holds for another number of workers the plan decides."""
    return tuple(problem for rule in RULES if not (begun and rule.at_start) for problem in rule.find(spec))
