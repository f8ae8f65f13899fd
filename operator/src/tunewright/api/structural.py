"""pydantic's JSON schema → a structural schema, the dialect that CustomResourceDefinitions take.

Source: the Kubernetes documentation on structural schemas. Every node has a type, or is `x-kubernetes-int-or-string`, or keeps
unknown fields; references are inlined; null is absence; bounds are draft 4's. The dialect cannot express three things,
which the operator checks: a value that is text or a list (targetModules), unknown fields (the API server prunes them), and the spelling of
map keys.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from tunewright.api.v1alpha1.common import DEPTH, LONGEST_TEXT, MOST_ENTRIES

Schema = dict[str, Any]

_KEPT = (
    "description", "type", "format", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minProperties",
    "maxProperties", "required", "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
)  # fmt: skip

_BOUNDS = (  # JSON schema's word, the dialect's, whether it excludes the bound itself, the same in CEL
    ("minimum", "minimum", False, ">="),
    ("maximum", "maximum", False, "<="),
    ("exclusiveMinimum", "minimum", True, ">"),
    ("exclusiveMaximum", "maximum", True, "<"),
)


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model, named as in YAML."""
    raw = model.model_json_schema(by_alias=True)
    return _node(raw, raw.get("$defs", {}))


def with_defaults_named(node: Schema) -> Schema:
    """Name each default in the field's description, because `kubectl explain` shows no defaults."""
    default = node.get("default")
    if default in (None, {}, [], ""):
        return node
    return {**node, "description": f"{node['description']} Default: {default if isinstance(default, str) else json.dumps(default)}."}


def without_default(node: Schema) -> Schema:
    """Leave the default out: the operator fills it in (docs/adr/0034-defaults.md)."""
    return {name: value for name, value in node.items() if name != "default"}


def everywhere(change: Callable[[Schema], Schema], node: Schema) -> Schema:
    """Return a schema with this change at each node."""
    node = dict(change(node))
    if "properties" in node:
        node["properties"] = {name: everywhere(change, part) for name, part in node["properties"].items()}
    return node | {name: everywhere(change, node[name]) for name in ("items", "additionalProperties") if isinstance(node.get(name), dict)}


def _node(raw: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    raw = _inlined(raw, defs)
    kinds = [kind for kind in raw.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1:
        return _node({**kinds[0], **{name: value for name, value in raw.items() if name != "anyOf"}}, defs)
    node: Schema = {name: raw[name] for name in _KEPT if name in raw}
    if node.get("minLength") == 1 and not re.search(node.get("pattern", ""), ""):
        del node["minLength"]  # the pattern refuses an empty text
    if raw.get("default") is not None:
        node["default"] = raw["default"]
    if node.get("x-kubernetes-int-or-string"):
        return {**node, **_bounds(raw), "anyOf": [{"type": "integer"}, {"type": "string"}]}
    if DEPTH in raw:
        return {**node, **_json(raw[DEPTH])}
    if kinds:  # several types: only the operator can check the value
        return {**node, **_either(kinds, defs)}
    if "const" in raw:
        node["enum"] = [raw["const"]]
    if "type" not in node:  # an enumeration of words and numbers
        return {**node, "x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    return {**node, **_bounds(raw), **_PARTS.get(node["type"], _nothing)(raw, defs)}


def _json(depth: int) -> Schema:
    """Return the schema of any JSON value that nests at most `depth` lists and maps.

    Without a type the API server takes any, and still holds lists, maps and texts to their bounds.
    """
    inner = _json(depth - 1) if depth else None
    return {
        "x-kubernetes-preserve-unknown-fields": True,
        "maxLength": LONGEST_TEXT,
        "maxItems": MOST_ENTRIES if inner else 0,
        "maxProperties": MOST_ENTRIES if inner else 0,
        **({"items": inner, "additionalProperties": inner} if inner else {}),
    }


def _either(kinds: Sequence[Mapping[str, Any]], defs: Mapping[str, Any]) -> Schema:
    """Return the schema of a value of several types: scalars, a list of entries that have one, or an object.

    Each bound applies to the values of its own type only.
    """
    node: Schema = {"x-kubernetes-preserve-unknown-fields": True, "maxLength": LONGEST_TEXT, "maxProperties": 0, "maxItems": 0}
    for kind in (_node(kind, defs) for kind in kinds):
        if kind["type"] == "array":
            node |= {name: kind[name] for name in ("items", "maxItems")}
        elif kind["type"] == "object":
            node |= {name: kind[name] for name in ("properties", "required")} | {"maxProperties": len(kind["properties"])}
    return node


def _inlined(raw: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace a reference by its target. Keys beside the reference (a description, a default) have priority over the target's."""
    if "$ref" not in raw:
        return raw
    target = defs[raw["$ref"].rsplit("/", 1)[-1]]
    return {**target, **{name: value for name, value in raw.items() if name != "$ref"}}


def _bounds(raw: Mapping[str, Any]) -> Schema:
    """Return the bounds of a number. The API server truncates a bound for whole numbers (0 < 0.5 becomes 0 < 0), so CEL has those."""
    bounds: Schema = {}
    for word, name, exclusive, sign in _BOUNDS:
        bound = raw.get(word)
        if isinstance(bound, float) and not bound.is_integer():
            bounds.setdefault("x-kubernetes-validations", []).append({"rule": f"self {sign} {bound}", "message": f"must be {sign} {bound}"})
        elif bound is not None:
            bounds |= {name: bound, **({word: True} if exclusive else {})}
    return bounds


def _nothing(_raw: Mapping[str, Any], _defs: Mapping[str, Any]) -> Schema:
    return {}


def _array(raw: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    entry = _node(raw["items"], defs)
    entry.pop("description", None)  # the list has one
    return {"items": entry}  # without `x-kubernetes-list-type`, which is kept, the API server takes a list for atomic


def _object(raw: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    if "properties" in raw:
        parts = {name: _node(value, defs) for name, value in raw["properties"].items()}
        # The parts have defaults of their own: an empty object is enough for the API server to fill them in.
        # The API server drops an empty `properties`, and kubectl would see a change at each apply.
        return {**({"properties": parts} if parts else {"maxProperties": 0}), **({"default": {}} if raw.get("default") is not None else {})}
    # JSON schema has a pattern for keys of a certain form; the dialect has none.
    values = next(iter(raw.get("patternProperties", {}).values()), raw.get("additionalProperties"))
    if isinstance(values, Mapping) and _inlined(values, defs).keys() & {"type", "anyOf", "x-kubernetes-int-or-string", DEPTH}:
        return {"additionalProperties": _node(values, defs)}
    raise TypeError(f"a map without bounds: {raw}")


_PARTS = {"array": _array, "object": _object}
