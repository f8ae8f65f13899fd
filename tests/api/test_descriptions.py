"""`kubectl explain` describes each field of spec and status, with its default and, for a number, its unit."""

import json
import re

from job_mutations import SCHEMA

from tunewright.api.crdgen import crd

# What a number counts or measures; "without a unit" is also an answer.
UNITS = re.compile(
    r"\b(bits|bytes?|counter|difference of a logit|elements|epochs?|evaluations|examples|factor|how often|learning rate|loraAlpha|nats|number"
    r"|percent|rank|rows|seconds|seed|share|steps?|tokens|unit|ZeRO stage)\b",
    re.IGNORECASE,
)
UNIT_IN_NAME = {"Seconds": "second", "Bytes": "byte", "Percentage": "percent", "Steps": "step"}
LARGEST_ANNOTATION = 262_144  # bytes: a client-side `kubectl apply` stores the whole definition in an annotation


def fields(node, path=""):
    """Yield each field with its path. Entries of a list or map have the description of the list or map."""
    for name, part in node.get("properties", {}).items():
        yield f"{path}{name}", part
        yield from fields(part, f"{path}{name}.")
    for inner in (node.get("items"), node.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from fields(inner, path)


FIELDS = {path: field for path, field in fields(SCHEMA) if path != "metadata"}  # which the API server describes


def test_each_field_has_a_description():
    """Write it as a docstring below the field, in api/v1alpha1."""
    assert [path for path, field in FIELDS.items() if not field.get("description", "").endswith((".", "…`"))] == []


def test_each_number_names_its_unit():
    numbers = {path: field["description"] for path, field in FIELDS.items() if field.get("type") in {"integer", "number"}}

    assert {path: text for path, text in numbers.items() if not UNITS.search(text)} == {}
    named = [(path, unit) for path in numbers for ending, unit in UNIT_IN_NAME.items() if path.endswith(ending)]
    assert [path for path, unit in named if unit not in numbers[path].lower()] == []


def test_each_default_is_in_the_description():
    """kubectl shows no defaults of its own accord."""
    defaults = {path: field.get("default") for path, field in FIELDS.items() if path.startswith("spec")}
    words = {
        path: value if isinstance(value, str) else json.dumps(value) for path, value in defaults.items() if value not in (None, {}, [], "")
    }

    assert len(words) > 50
    assert {path: word for path, word in words.items() if not FIELDS[path]["description"].endswith(f"Default: {word}.")} == {}


def test_the_definition_fits_into_the_annotation_of_a_client_side_apply():
    assert len(json.dumps(crd(), separators=(",", ":"))) < LARGEST_ANNOTATION * 0.9
