"""Where the operator's verdict on a job and the API server's may differ, and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tunewright.api.rules import RULES, check
from tunewright.api.v1alpha1.job import parse

# Where CEL says less than the rule, because a part has no schema or the arithmetic is too long to repeat.
CEL_SAYS_LESS = {"E005", "E101", "E204", "E207", "E306", "E307"}


@dataclass(frozen=True)
class OperatorVerdict:
    """What the operator says of a job, and what the API server has to say after it."""

    refuses: bool
    server_must_refuse: bool


def operator_verdict(raw: Mapping[str, Any]) -> OperatorVerdict:
    """Read a job as the operator does. The structural dialect has no words for the keys of a map; all else the server can tell."""
    try:
        spec = parse(raw).spec
    except ValidationError as error:
        # An entry of imagePullSecrets has two types, which the dialect cannot express either.
        keys = any(str(problem["loc"][-1]) == "[key]" or "imagePullSecrets" in problem["loc"] for problem in error.errors())
        return OperatorVerdict(refuses=True, server_must_refuse=not keys)
    known_in_full = [rule for rule in RULES if rule.cel and rule.code not in CEL_SAYS_LESS and list(rule.find(spec))]
    return OperatorVerdict(refuses=bool(check(spec)), server_must_refuse=bool(known_in_full))
