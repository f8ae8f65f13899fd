"""`kubectl explain` describes each field of spec and status, with its default and, for a number, its unit."""

import json
import re

from job_mutations import SCHEMA
from pydantic_core import PydanticUndefined

from tunewright.api.crdgen import REPEATED, crd, node_at
from tunewright.api.field_names import part_of
from tunewright.api.v1alpha1.job import FineTuneJobSpec

# What a number counts or measures; "without a unit" is also an answer.
UNITS = re.compile(
    r"\b(bits|bytes?|counter|difference of a logit|elements|epochs?|evaluations|examples|factor|how often|learning rate|loraAlpha|nats|number"
    r"|percent|rank|rows|seconds|seed|share|steps?|tokens|unit|ZeRO stage)\b",
    re.IGNORECASE,
)
UNIT_IN_NAME = {"Seconds": "second", "Bytes": "byte", "Percentage": "percent", "Steps": "step"}
REFERRING = [(part.removesuffix("[*]"), other.removesuffix("[*]")) for part, other in REPEATED]
LARGEST_ANNOTATION = 262_144  # bytes: a client-side `kubectl apply` stores the whole definition in an annotation


def fields(node, path=""):
    """Yield each field with its path. Entries of a list or map have the description of the list or map."""
    for name, part in node.get("properties", {}).items():
        yield f"{path}{name}", part
        yield from fields(part, f"{path}{name}.")
    for inner in (node.get("items"), node.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from fields(inner, path)


def defaults(model, path="spec."):
    """Yield each default of the specification as kubectl users write it, with its path."""
    for info in model.model_fields.values():
        part, default = part_of(info.annotation), info.get_default(call_default_factory=True)
        if part is not None:
            yield from defaults(part, f"{path}{info.alias}.")
        elif default not in (None, PydanticUndefined, {}, (), ""):
            yield f"{path}{info.alias}", default if isinstance(default, str) else json.dumps(default)


FIELDS = {path: field for path, field in fields(SCHEMA) if path != "metadata"}  # which the API server describes


def test_each_field_has_a_description():
    """Write it as a docstring below the field, in api/v1alpha1."""
    assert [path for path, field in FIELDS.items() if not field.get("description", "").endswith((".", "…`"))] == []


def described(path):
    """The description of a field, or of the same field of the part that it refers to."""
    text = FIELDS[path]["description"]
    for part, other in REFERRING:
        if path.startswith(f"{part}.") and text == f"As in {other.removeprefix('spec.')}.":
            return FIELDS[path.replace(part, other, 1)]["description"]
    return text


def test_a_field_refers_to_the_same_field_of_another_part_which_describes_it():
    referring = {path for path, field in FIELDS.items() if field["description"].startswith("As in ")}

    assert len(referring) > 100
    assert [path for path in referring if described(path).startswith("As in ")] == []
    # The fields of such a part itself have their descriptions.
    own = [f"{part}.{name}".replace("[*]", "") for part, _ in REPEATED for name in node_at(SCHEMA, part)["properties"]]
    assert referring & set(own) == set()


def test_each_number_names_its_unit():
    numbers = {path: described(path) for path, field in FIELDS.items() if field.get("type") in {"integer", "number"}}

    assert {path: text for path, text in numbers.items() if not UNITS.search(text)} == {}
    named = [(path, unit) for path in numbers for ending, unit in UNIT_IN_NAME.items() if path.endswith(ending)]
    assert [path for path, unit in named if unit not in numbers[path].lower()] == []


def test_each_default_is_in_the_description():
    """The definition has no defaults that kubectl could show."""
    words = dict(defaults(FineTuneJobSpec))

    assert len(words) > 50
    assert {path: word for path, word in words.items() if not described(path).endswith(f"Default: {word}.")} == {}


def test_the_definition_fits_into_the_annotation_of_a_client_side_apply():
    assert len(json.dumps(crd(), separators=(",", ":"))) < LARGEST_ANNOTATION * 0.8
