"""Admission: reads raw JSON or a manifest into a job that can be planned, or reports all of its faults at once.

Promises: the user's values are unchanged. Refuses wrong types, unknown fields, broken rules, and fields that no stage implements yet.
Faults of a manifest have its file, line and column.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from tunewright.api.explain import explain
from tunewright.api.problems import InvalidJob, Problem
from tunewright.api.rules import check
from tunewright.api.supported import unsupported
from tunewright.api.v1alpha1.job import FineTuneJob, FineTuneJobSpec, parse
from tunewright.api.yaml_nodes import Document, read_document


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


__all__ = ["ManifestError", "Problem", "read_job"]


class ManifestError(InvalidJob):
    """A manifest that cannot be accepted. `problems` are sorted by line."""

    def __init__(self, filename: str, problems: Iterable[Problem]) -> None:
        super().__init__(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))
        self.filename = filename

    def __str__(self) -> str:
        """Write `file:line:column: path: message [code]` for each problem, with its way out below."""
        return "\n".join(f"{self.filename}:{problem.line}:{problem.column}: {problem}" for problem in self.problems)


def read_job(text: str, filename: str) -> FineTuneJob:
    """Read the one FineTuneJob of a YAML text. Raises `ManifestError` with all problems at once."""
    document = read_document(text)
    problems = list(document.problems)
    if isinstance(document.value, Mapping):
        try:
            job = admit(document.value)
        except InvalidJob as error:
            # The ambiguous value was reported already, so an additional error about its type would only confuse.
            said = {problem.path for problem in problems}
            problems += [_placed(problem, document) for problem in error.problems if problem.path not in said]
    elif not problems:
        problems.append(
            Problem(
                code="malformed YAML",
                path="",
                message="the document is no map of fields",
                way_out="Begin with apiVersion, kind, metadata, spec.",
                line=1,
                column=1,
            )
        )
    if problems:
        raise ManifestError(filename, problems)
    return job


def _placed(problem: Problem, document: Document) -> Problem:
    """Add line and column: of the field itself, or of the nearest part around it that is written down."""
    path = problem.path
    while path not in document.positions:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    line, column = document.positions[path]
    return replace(problem, line=line, column=column)
