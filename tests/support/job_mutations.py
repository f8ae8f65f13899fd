"""Hypothesis strategies of jobs that are mostly a little wrong: a valid one with up to three fields replaced by junk or by an edge."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from api_jobs import SMALLEST, put
from hypothesis import assume
from hypothesis import strategies as st

from tunewright.api.crdgen import job_schema

SCHEMA = job_schema()
SPEC = SCHEMA["properties"]["spec"]


def nodes(schema: Mapping[str, Any], path: str = "$") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every node of a schema with its path; not what is below a place that takes any JSON."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema and not schema[name].get("x-kubernetes-preserve-unknown-fields"):
            yield from nodes(schema[name], f"{path}[{name}]")


JUNK = st.one_of(
    st.booleans(), st.integers(-3, 70), st.sampled_from([10**12, -1.5, 0.5, 2.5]), st.text("aB-./ \n0", max_size=4), st.just([]), st.just({}),
    st.sampled_from(["Auto", "no", "cpu", "16Gi", "x" * 300, "lora", "epoch", "true"]), st.just(["CPU"]), st.just({"a": 1}), st.just(["a", 1]),
)  # fmt: skip
# Below these nodes pydantic checks more than the dialect can: text or a list, keys of maps, metadata.
PLACES = sorted(
    path.removeprefix("$.").replace("[items]", "[0]")
    for path, node in nodes(SPEC)
    if (path != "$" and "[additionalProperties]" not in path and "type" in node)
    or (node.get("x-kubernetes-int-or-string") and "[additional" not in path)
)


@st.composite
def mutated_jobs(draw: st.DrawFn) -> dict[str, Any]:
    """A small valid job with one to three fields changed, wherever they can be."""
    changes = draw(st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=3))
    # Python's $ stands before a last line end, RE2's does not.
    assume(not any(isinstance(value, str) and "\n" in value for _, value in changes))
    raw = copy.deepcopy(SMALLEST)
    for path, value in changes:
        try:
            put(raw["spec"], path, copy.deepcopy(value))
        except (KeyError, IndexError, TypeError, AttributeError):
            assume(False)
    return raw
