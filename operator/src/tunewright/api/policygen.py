"""Generates the ValidatingAdmissionPolicy that keeps a job's inputs immutable, and its binding.

The API server evaluates it only for an update that changes the specification. The same rules in the CRD are evaluated at each write of
a status, which then costs a fifth more (docs/benchmarks.md). `make crds` writes it to `deploy/`, and a test compares.
"""

import io
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from ruamel.yaml import YAML

from tunewright.api.crdgen import PLURAL
from tunewright.api.immutable import Input, Kind, inputs
from tunewright.api.places import constant
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
    """Return the policy. One validation lists all changed fields; two variables for each part keep the expressions short.

    The API server compiles the expressions in the request that writes the policy, and takes seconds for it. So the rows of scalars, which
    are most, are data, and one expression compares and prints them.
    """
    parts: dict[str, list[Input]] = {}
    for row in inputs():
        parts.setdefault(row.path[0], []).append(row)
    texts: dict[str, str] = {}
    scalars: dict[str, str] = {}
    for part, rows in parts.items():
        plain, others = _split(rows)
        if others:
            texts[f"changed_{part}"] = f"[{', '.join(map(_change, others))}].filter(change, change != '')"
        scalars[f"scalars_{part}"] = " + ".join(_pairs(*group) for group in groupby(plain, key=lambda row: row.within)) or "[]"
    printed = f"row[0] + ': ' + {_shown('row[1]')} + ' -> ' + {_shown('row[2]')}"
    every = [*map(_variable, texts), f"({' + '.join(map(_variable, scalars))}).filter(row, row[1] != row[2]).map(row, {printed})"]
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
                *({"name": name, "expression": expression} for name, expression in (texts | scalars).items()),
                {"name": "changed", "expression": " + ".join(every)},
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


def _variable(name: str) -> str:
    return f"variables.{name}"


def _split(rows: Iterable[Input]) -> tuple[list[Input], list[Input]]:
    """Return the rows of scalars, and the others."""
    found: tuple[list[Input], list[Input]] = [], []
    for row in rows:
        found[row.kind is not Kind.SCALAR].append(row)
    return found


def _pairs(within: tuple[str, ...], rows: Iterable[Input]) -> str:
    """Return the CEL of (field, old, new) for rows of scalars in one part; none if a version lacks the part."""
    pairs = ", ".join(f"[dyn('{row.field}'), dyn({_value('oldObject.spec', row)}), dyn({_value('object.spec', row)})]" for row in rows)
    return f"({_in_both(within)} ? [{pairs}] : [])" if within else f"[{pairs}]"


def _in_both(part: tuple[str, ...]) -> str:
    return " && ".join(f"{_at(version, part)}.hasValue()" for version in ("oldObject.spec", "object.spec"))


def _change(row: Input) -> str:
    """Return the CEL of what a row contributes to the message: nothing if the field is the same."""
    old, new = _value("oldObject.spec", row), _value("object.spec", row)
    same = _same(row.kind, old, new)
    if row.within:
        same = f"!({_in_both(row.within)}) || {same}"
    return f"({same}) ? '' : {_message(row, old, new)}"


def _message(row: Input, old: str, new: str) -> str:
    if row.kind is Kind.QUANTITY:
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
    cut = f"size(string(dyn(shown))) > {_LONGEST} ? string(dyn(shown)).substring(0, {_LONGEST}) + '…' : string(dyn(shown))"
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
