"""Generates the ValidatingAdmissionPolicy that keeps a job's inputs immutable, and its binding.

The API server evaluates it only for an update that changes the specification. The same rules in the CRD are evaluated at each write of
a status, which then costs a fifth more (docs/benchmarks.md). `make crds` writes it to `deploy/`, and a test compares.
"""

import io
from typing import Any

from ruamel.yaml import YAML

from tunewright.api.constants import constant
from tunewright.api.crdgen import PLURAL
from tunewright.api.immutable import Input, Kind, inputs
from tunewright.api.v1alpha1.job import GROUP, VERSION

POLICY_FILENAME = "immutable-inputs.yaml"
NAME = f"inputs.{PLURAL}.{GROUP}"
WAY_OUT = (
    "A model is made from these fields, so they cannot change. Way out: restore them, or give the job another metadata.name to make a"
    " second model (docs/when-it-fails.md)"
)
_API = "admissionregistration.k8s.io/v1"
_LONGEST = 40  # characters of a value in the message
_UNSET = "unset"


def policy() -> dict[str, Any]:
    """Return the policy. One validation lists all changed fields; a variable for each part keeps the expressions short."""
    parts: dict[str, list[Input]] = {}
    for row in inputs():
        parts.setdefault(row.path[0], []).append(row)
    changed = {f"changed_{part}": f"[{', '.join(map(_change, rows))}].filter(change, change != '')" for part, rows in parts.items()}
    every = " + ".join(f"variables.{name}" for name in changed)
    validation = {
        "expression": "size(variables.changed) == 0",
        "messageExpression": f"variables.changed.join('; ') + {constant('. ' + WAY_OUT)}",
        "message": WAY_OUT,
        "reason": "Invalid",
    }
    rule = {"apiGroups": [GROUP], "apiVersions": [VERSION], "operations": ["UPDATE"], "resources": [PLURAL], "scope": "Namespaced"}
    return {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "the-specification-changes", "expression": "object.spec != oldObject.spec"}],
            "variables": [
                *({"name": name, "expression": expression} for name, expression in changed.items()),
                {"name": "changed", "expression": every},
            ],
            "validations": [validation],
        },
    }


def binding() -> dict[str, Any]:
    """Return the binding of the policy to all namespaces."""
    spec = {"policyName": NAME, "validationActions": ["Deny"]}
    return {"apiVersion": _API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": NAME}, "spec": spec}


def policy_yaml() -> str:
    """Return the file's text."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 140
    text = io.StringIO()
    yaml.dump_all([policy(), binding()], text)
    return f"# Generated from operator/src/tunewright/api by `make crds`. A test compares; do not edit.\n{text.getvalue()}"


def _change(row: Input) -> str:
    """Return the CEL of what a row contributes to the message: nothing if the field is the same."""
    old, new = _value("oldObject.spec", row), _value("object.spec", row)
    same = _same(row.kind, old, new)
    if row.within:
        both = " && ".join(f"{_at(version, row.within)}.hasValue()" for version in ("oldObject.spec", "object.spec"))
        same = f"!({both}) || {same}"
    return f"({same}) ? '' : {_message(row, old, new)}"


def _message(row: Input, old: str, new: str) -> str:
    if row.kind in {Kind.SCALAR, Kind.QUANTITY}:
        return f"'{row.field}: ' + {_shown(old)} + ' -> ' + {_shown(new)}"
    old, new = _at("oldObject.spec", row.path), _at("object.spec", row.path)
    return f"'{row.field}: ' + ({old}.hasValue() ? ({new}.hasValue() ? 'changed' : 'removed') : 'added')"


def _same(kind: Kind, old: str, new: str) -> str:
    match kind:
        case Kind.PRESENCE:
            return f"{old}.hasValue() == {new}.hasValue()"
        case Kind.QUANTITY:
            return _if_both(old, new, f"quantity(string({old}.value())).compareTo(quantity(string({new}.value()))) == 0")
        case Kind.SET:
            one, other = f"{old}.value()", f"{new}.value()"
            return _if_both(old, new, f"{one}.all(item, item in {other}) && {other}.all(item, item in {one})")
        case _:
            return f"{old} == {new}"


def _if_both(old: str, new: str, same: str) -> str:
    return f"({old}.hasValue() && {new}.hasValue() ? {same} : {old}.hasValue() == {new}.hasValue())"


def _shown(value: str) -> str:
    cut = f"size(string(shown)) > {_LONGEST} ? string(shown).substring(0, {_LONGEST}) + '…' : string(shown)"
    return f"{value}.optMap(shown, {cut}).orValue('{_UNSET}')"


def _value(part: str, row: Input) -> str:
    """Return the optional value of a row's field. A field that has a default always has a value."""
    value = _at(part, row.path)
    if row.entries:
        fields = ", ".join(_comparable("entry", field) for field in row.entries)
        return f"optional.of({value}.orValue([]).map(entry, [{fields}]))"
    return value if row.default is None else f"optional.of({value}.orValue({constant(row.default)}))"


def _comparable(part: str, row: Input) -> str:
    return f"dyn({_at(part, row.path)}.hasValue())" if row.kind is Kind.PRESENCE else f"dyn({_value(part, row)})"


def _at(part: str, path: tuple[str, ...]) -> str:
    return part + "".join(f".?{name}" for name in path)
