"""The one door: raw JSON in, a job that can be planned out, or everything that is wrong with it at once.

Promises: nothing is changed that the user wrote. Refuses: wrong types and unknown fields, what the rules forbid, what no stage honours yet.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tunewright.api.explain import explain
from tunewright.api.problems import InvalidJob, Problem
from tunewright.api.rules import check
from tunewright.api.supported import unsupported
from tunewright.api.v1alpha1.job import FineTuneJob, FineTuneJobSpec, parse


def admit(raw: Mapping[str, Any]) -> FineTuneJob:
    """Read a job and hold it against every rule. Raises `InvalidJob` with all problems.

    Rules between fields are asked only of a job whose fields are right by themselves.
    """
    try:
        job = parse(raw)
    except ValidationError as error:
        raise InvalidJob(explain(error.errors(include_url=False), raw)) from None
    problems = objections(job.spec)
    if problems:
        raise InvalidJob(problems)
    return job


def objections(spec: FineTuneJobSpec) -> tuple[Problem, ...]:
    """Return what stands against a well-formed specification: broken rules, and settings that nothing honours yet."""
    return (*check(spec), *unsupported(spec))
