"""Admission: reads raw JSON into a job that can be planned, or reports all of its faults at once.

Promises: the user's values are unchanged. Refuses wrong types, unknown fields, broken rules, and fields that no stage implements yet.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tunewright.api.explain import explain
from tunewright.api.problems import InvalidJob, Problem
from tunewright.api.rules import check
from tunewright.api.supported import unsupported
from tunewright.api.v1alpha1.job import FineTuneJob, FineTuneJobSpec, parse


def admit(raw: Mapping[str, Any], *, begun: bool = False) -> FineTuneJob:
    """Read a job and check every rule. Raises `InvalidJob` with all problems.

    Rules between fields apply only if each field is valid by itself. Rules about the number of ranks of a new gang do not apply after it
    has `begun`: their other fields are immutable, and the plan decides about another number.
    """
    try:
        job = parse(raw)
    except ValidationError as error:
        raise InvalidJob(explain(error.errors(include_url=False), raw)) from None
    problems = objections(job.spec, begun=begun)
    if problems:
        raise InvalidJob(problems)
    return job


def objections(spec: FineTuneJobSpec, *, begun: bool = False) -> tuple[Problem, ...]:
    """Return the problems of a well-formed specification: broken rules, and settings that no stage implements yet.

    A field is reported once: rules about a value that is not supported anyway are left out.
    """
    not_yet = unsupported(spec)
    refused = {problem.path for problem in not_yet}
    return (*(problem for problem in check(spec, begun=begun) if problem.path not in refused), *not_yet)
