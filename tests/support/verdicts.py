"""Where the operator's verdict on a job and the API server's may differ, and nowhere else."""

from pydantic import ValidationError

from tunewright.api.rules import RULES
from tunewright.api.v1alpha1.job import FineTuneJobSpec

# Where CEL says less than the rule, because a part has no schema or the arithmetic is too long to repeat.
CEL_SAYS_LESS = {"E101", "E106", "E203", "E204", "E205", "E207", "E306", "E308"}


def broken_rules_with_cel(spec: FineTuneJobSpec) -> list[str]:
    """Return the codes of broken rules that the API server knows in full."""
    return [rule.code for rule in RULES if rule.cel and rule.code not in CEL_SAYS_LESS and list(rule.find(spec))]


def beyond_the_schema(error: ValidationError) -> bool:
    """Tell whether pydantic found something for which the structural dialect has no words: the keys of a map."""
    return any(str(problem["loc"][-1]) == "[key]" for problem in error.errors())
