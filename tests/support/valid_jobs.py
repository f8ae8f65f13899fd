"""Hypothesis strategies of jobs that are right: values drawn from the definition's own schema, each kept where it breaks no rule between fields.

A field alone seldom satisfies a rule that joins two; changes that belong together come from the rules' own neighbours and the maximal jobs.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from api_jobs import SMALLEST, put
from hypothesis import strategies as st
from job_mutations import SPEC, nodes
from maximal_jobs import MAXIMAL
from pydantic import ValidationError
from rule_cases import CASES

from tunewright.api.rules import check
from tunewright.api.v1alpha1.common import LABEL_KEY
from tunewright.api.v1alpha1.job import parse

TOGETHER = [*MAXIMAL.values(), *(kept for _, _, _, kept in CASES if kept)]
KEYS = st.sampled_from(["a", "pool", "example.com/zone", "nvidia.com/gpu", "cpu", "memory"])  # of labels, of resources, of columns
QUANTITIES = st.sampled_from([1, 4, "1", "500m", "0.5", "1.5Gi", "16Gi", "2e3", ".5", "7."])
# What the schema leaves open, because the dialect has no word for "a text or a list", or because another system reads it.
OPEN: Mapping[str, st.SearchStrategy[Any]] = {
    "imagePullSecrets": st.sampled_from([["one"], [{"name": "one"}], ["one", {"name": "two"}]]),
    "targetModules": st.sampled_from(["all-linear", "q_proj", ["q_proj", "v_proj"]]),
    "feedforwardModules": st.sampled_from([".*down_proj", ["down_proj"]]),
    "excludeModules": st.sampled_from(["lm_head", ["lm_head"]]),
    "labelSmoothing": st.sampled_from([0, 0.1, 0.49]),  # a bound with a fraction is CEL's
    "initLoraWeights": st.sampled_from([True, False, "gaussian", "olora", "pissa_niter_4"]),
}
# Names and values of labels in a selector: their schema has no pattern, which only the operator checks.
LABELS = ("key", "values", "topologyKey", "matchLabels", "matchLabelKeys", "mismatchLabelKeys")
SCALARS: list[Any] = [1, 0.1, "x", True, None]


def numbers(node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    low, high = node.get("minimum", -1000), node.get("maximum", 1000)
    if node["type"] == "integer":
        return st.one_of(st.sampled_from([low, high]), st.integers(low, high))
    bounds = {"exclude_min": bool(node.get("exclusiveMinimum")), "exclude_max": bool(node.get("exclusiveMaximum"))}
    return st.floats(low, high, allow_subnormal=False, **bounds)


def texts(node: Mapping[str, Any]) -> st.SearchStrategy[str]:
    shortest, longest = node.get("minLength", 0), node.get("maxLength", 100)
    if "pattern" not in node:
        return st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=shortest, max_size=min(longest, 20))
    pattern = (
        node["pattern"] if node["pattern"] != LABEL_KEY else r"([a-z0-9]{1,9}(\.[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?){0,2}/)?[A-Za-z0-9]{1,9}"
    )
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: shortest <= len(text) <= longest)


def lists(name: str, node: Mapping[str, Any]) -> st.SearchStrategy[list[Any]]:
    keys = node.get("x-kubernetes-list-map-keys", [])
    distinct = node.get("x-kubernetes-list-type") == "set" or bool(keys)
    by = (lambda item: tuple(item[key] for key in keys)) if keys else repr
    return st.lists(
        values(name, node["items"]),
        min_size=node.get("minItems", 0),
        max_size=min(node.get("maxItems", 3), 3),
        unique_by=by if distinct else None,
    )


def objects(name: str, node: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" in node:
        parts = {name: field(name, part) for name, part in node["properties"].items()}
        required = {name: parts.pop(name) for name in node.get("required", ())}
        return st.fixed_dictionaries(required, optional=parts)
    if "additionalProperties" not in node:  # an object whose presence alone says something, as `emptyDir: {}`
        return st.just({})
    return st.dictionaries(KEYS, values(name, node["additionalProperties"]), max_size=min(node.get("maxProperties", 3), 3))


def values(name: str, node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that a node of the schema allows. `name`: of the field that it is, or is in."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if node.get("x-kubernetes-int-or-string"):
        return QUANTITIES
    if node.get("type") in ("integer", "number"):
        return numbers(node)
    if node.get("type") == "boolean":
        return st.booleans()
    if node.get("type") == "string":
        return st.sampled_from(["a", "pool", "cpu"]) if name in LABELS and "pattern" not in node else texts(node)
    if "type" not in node:  # any JSON, as deep as its schema goes
        deeper = [
            values(name, node[part]).map(make)
            for part, make in (("items", lambda one: [one]), ("additionalProperties", lambda one: {"a": one}))
            if part in node
        ]
        return st.one_of(st.sampled_from(SCALARS), *deeper)
    return lists(name, node) if node.get("type") == "array" else objects(name, node)


def field(name: str, node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    is_open = name in OPEN and (node.get("type") != "array" or "type" not in node["items"])
    return OPEN[name] if is_open else values(name, node)


# Fields that stand once; what is in a list is drawn with its list, or as the first of the training data.
FIELDS = {
    path: field(path.rpartition(".")[2], node)
    for path, node in ((path.removeprefix("$.").replace("train[items]", "train[0]"), node) for path, node in nodes(SPEC))
    if path != "$" and not path.endswith("train[0]") and "[items]" not in path and "[additionalProperties]" not in path
}
FIELD_CHANGES = st.sampled_from(sorted(FIELDS)).flatmap(lambda path: FIELDS[path].map(lambda value: {path: value}))


@st.composite
def valid_jobs(draw: st.DrawFn) -> dict[str, Any]:
    """A job with some changes, alone and in company, wherever they can be.

    Raises `pydantic.ValidationError` where the operator refuses what the schema allows for a field.
    """
    job = copy.deepcopy(SMALLEST)
    for changes in draw(st.lists(st.one_of(FIELD_CHANGES, FIELD_CHANGES, st.sampled_from(TOGETHER)), min_size=4, max_size=16)):
        changed = copy.deepcopy(job)
        try:
            for path, value in changes.items():
                put(changed["spec"], path, copy.deepcopy(value))
            broken = check(parse(changed).spec)
        except (TypeError, IndexError):  # below something that is a list, or a text, by now
            continue
        except ValidationError as error:
            if all(problem["type"] != "missing" for problem in error.errors()):
                raise
            continue  # below a part that is made by this, and lacks what it must have
        if not broken:
            job = changed
    return job


def written_fields(part: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each field of a specification, those of parts too; what is in a list counts as the list."""
    if isinstance(part, Mapping):
        for name, below in part.items():
            yield (inner := f"{path}.{name}".lstrip("."))
            yield from written_fields(below, inner)
