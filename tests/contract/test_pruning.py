"""The API server prunes unknown fields. No valid field is pruned, and kubectl and tunewright refuse unknown ones first."""

import pytest
from api_jobs import in_full, put, raw_job
from job_mutations import SPEC, nodes
from maximal_jobs import MAXIMAL
from pydantic import ValidationError
from rule_cases import CASES

from tunewright.api.v1alpha1.job import parse

JOBS = {**MAXIMAL, **{f"rule {index}": kept for index, (_, _, _, kept) in enumerate(CASES)}}


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
    written = {path for changes in JOBS.values() for path in paths_in(SPEC, in_full(raw_job(changes))["spec"])}

    assert sorted(every - written) == []


@pytest.mark.parametrize("name", JOBS)
def test_a_job_comes_back_as_it_was_sent(server, shared_namespace, name):
    job = in_full(raw_job(JOBS[name]))
    stored = server.create(job, shared_namespace, strict=False)

    assert stored.message == ""
    assert stored.object["spec"] == job["spec"]


@pytest.mark.parametrize("name", MAXIMAL)
def test_the_server_adds_no_field_to_the_specification_but_those_of_scale(server, shared_namespace, name):
    job = raw_job(MAXIMAL[name])
    stored = server.create(job, shared_namespace)
    filled = {"serving": {"replicas": 1, "resources": {}, **job["spec"]["serving"]}} if "serving" in job["spec"] else {}

    assert stored.object["spec"] == {**job["spec"], **filled}


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
