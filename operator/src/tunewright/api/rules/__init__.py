"""The rules between fields, as one table. Rules about a single field are in `v1alpha1`, beside the field.

`check` applies all rules and returns every violation. Rules that the API server can check have a CEL expression, which `crdgen` writes to
`x-kubernetes-validations`.

These codes need facts that a specification does not hold, so Check and the plan evaluate them:

| code | condition | decided by |
|---|---|---|
| E105 | ZeRO-3 with a base that is stored quantised (gptq, awq, fp8) | Check, from config.json |
| E107 | an entry of targetModules matches no module of the architecture | Check, on the meta device |
| E111 | adalora without totalStep | the plan computes it |
| E210 | merging inside a ZeRO-3 process | cannot occur: Export merges in a separate process |
| E402 | checkpoints larger than the claim; estimated memory above the limits | the plan, once Check has counted the parameters |
| W501 | too many tokens truncated | Check |

E101 and E104 apply to an explicit stage; `stage: Auto` never chooses stage 3 where they forbid it.
"""

from typing import Any

from tunewright.api.problems import Problem
from tunewright.api.rules import (
    data,
    deepspeed,
    deepspeed_allowed,
    environment,
    evaluation,
    hardware,
    method,
    pod_metadata,
    pod_volumes,
    resources,
    scheduling,
    shape,
    task,
)
from tunewright.api.rules.table import Rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec

_ROOMS = (
    shape,
    environment,
    method,
    deepspeed,
    deepspeed_allowed,
    data,
    evaluation,
    hardware,
    resources,
    pod_metadata,
    pod_volumes,
    scheduling,
    task,
)
RULES: tuple[Rule[Any], ...] = tuple(rule for room in _ROOMS for rule in room.RULES)


def check(spec: FineTuneJobSpec, *, begun: bool = False) -> tuple[Problem, ...]:
    """Return every violation, in the table's order. `begun`: a gang exists; then the plan decides about another number of workers."""
    return tuple(problem for rule in RULES if not (begun and rule.at_start) for problem in rule.find(spec))
