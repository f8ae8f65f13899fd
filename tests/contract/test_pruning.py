"""The API server prunes unknown fields. No valid field is pruned, and kubectl and tunewright refuse unknown ones first."""

import pytest
from api_jobs import put, raw_job
from job_mutations import SPEC, nodes
from maximal_jobs import MAXIMAL
from pydantic import ValidationError
from rule_cases import CASES

from tunewright.api.v1alpha1.job import parse

JOBS = {**MAXIMAL, **{f"rule {index}": kept for index, (_, _, _, kept) in enumerate(CASES)}}


def in_full(changes):
    """A job with every default written out."""
    job = raw_job(changes)
    return {**job, "spec": parse(job).spec.model_dump(mode="json", by_alias=True, exclude_none=True)}


def paths_in(schema, value, path="$"):
    yield path
    if isinstance(value, dict):
        for name, part in value.items():
            if name in schema.get("properties", {}):
                yield from paths_in(schema["properties"][name], part, f"{path}.{name}")
            elif "additionalProperties" in schema:
                yield from paths_in(schema["additionalProperties"], part, f"{path}[additionalProperties]")
    elif isinstance(value, list) and "items" in schema:
        for part in value:
            yield from paths_in(schema["items"], part, f"{path}[items]")


def test_together_they_write_every_field():
    every = {path for path, _ in nodes(SPEC)}
    written = {path for changes in JOBS.values() for path in paths_in(SPEC, in_full(changes)["spec"])}

    assert sorted(every - written) == []


@pytest.mark.parametrize("name", JOBS)
def test_a_job_comes_back_as_it_was_sent(server, shared_namespace, name):
    job = in_full(JOBS[name])
    stored = server.create(job, shared_namespace, strict=False)

    assert stored.message == ""
    assert stored.object["spec"] == job["spec"]


@pytest.mark.parametrize("name", MAXIMAL)
def test_what_the_server_fills_in_is_what_the_operator_fills_in(server, shared_namespace, name):
    stored = server.create(raw_job(MAXIMAL[name]), shared_namespace)

    assert parse({**raw_job(), "spec": stored.object["spec"]}).spec == parse(raw_job(MAXIMAL[name])).spec


# --- unknown fields ---------------------------------------------------------------------------------------------------------

# Maps which pass on what the libraries below understand; the rest of the language is closed.
OPEN_MAPS = {"deepspeed.config", "training.lrSchedulerKwargs"}
PARTS = sorted(path.removeprefix("$").lstrip(".") for path, node in nodes(SPEC) if "properties" in node and "[" not in path)


def test_open_maps_are_these_and_no_others():
    found = {
        path.removeprefix("$.")
        for path, node in nodes(SPEC)
        if node.get("type") == "object" and node.get("additionalProperties", {}).get("x-kubernetes-preserve-unknown-fields")
    }

    assert found == OPEN_MAPS


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part or "spec")
def test_an_unknown_field_is_pruned_or_refused_under_strict_validation(server, shared_namespace, part):
    job = raw_job()
    put(job["spec"], f"{part}.notAField".lstrip("."), 1)

    with pytest.raises(ValidationError, match="notAField"):
        parse(job)
    strict = server.create(job, shared_namespace)
    assert strict.code in {400, 422}
    lenient = server.create(job, shared_namespace, strict=False)
    assert "notAField" not in str((lenient.object or {}).get("spec", ""))
    if lenient.accepted:
        assert f'unknown field "spec.{part}.notAField"'.replace("..", ".") in strict.message
