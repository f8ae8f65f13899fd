"""The generated CRD: it is structural, equals the committed one, and agrees with pydantic and the rules."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import celpy
import jsonschema
import pytest
import yaml
from api_jobs import as_written, in_full, raw_job
from celpy.adapter import json_to_cel
from hypothesis import HealthCheck, assume, given, settings
from job_mutations import SCHEMA, SPEC, mutated_jobs, nodes
from pydantic import ValidationError
from rule_cases import CASES, IDS

from tunewright.api.crdgen import FILENAME, UNSEEN, crd, crd_yaml, node_at
from tunewright.api.field_names import model_at, names_in, part_of
from tunewright.api.rules import RULES
from tunewright.api.v1alpha1.job import FineTuneJobSpec, parse
from tunewright_contract.quantities import amount

ROOT = Path(__file__).parents[2]
ENVIRONMENT = celpy.Environment()
# Of the API server's library of quantities.
QUANTITIES = {
    "quantity": lambda text: celpy.celtypes.DoubleType(amount(str(text))),
    "isGreaterThan": lambda left, right: celpy.celtypes.BoolType(left > right),
}
VALIDATOR = jsonschema.Draft4Validator(SCHEMA)  # CRDs keep draft 4's exclusiveMinimum
NOT_STRUCTURAL = {"$ref", "$defs", "oneOf", "allOf", "not", "title", "const", "definitions", "propertyNames", "prefixItems", "nullable"}


def defaulted(schema: dict[str, Any], value: Any) -> Any:
    """What the API server makes of an object before CEL sees it: the few defaults filled in, numbers of the declared kind."""
    if schema.get("type") == "object" and isinstance(value, dict) and "properties" in schema:
        known = {name: part for name, part in schema["properties"].items() if name in value or "default" in part}
        return {name: defaulted(part, value.get(name, copy.deepcopy(part.get("default")))) for name, part in known.items()}
    if schema.get("type") == "array" and isinstance(value, list):
        return [defaulted(schema["items"], item) for item in value]
    return float(value) if schema.get("type") == "number" else value


class ReadsAsKubectl(yaml.SafeLoader):
    """YAML 1.1 with go-yaml's numbers: PyYAML's own want a point in 1e-08."""


ReadsAsKubectl.yaml_implicit_resolvers = {first: list(rules) for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}
ReadsAsKubectl.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def test_kubectl_and_helm_read_the_same_values_from_the_file():
    assert yaml.load(crd_yaml(), ReadsAsKubectl) == json.loads(json.dumps(crd()))  # noqa: S506 - a SafeLoader


def test_the_committed_file_is_the_generated_one():
    assert (ROOT / "crds" / FILENAME).read_text(encoding="utf-8") == crd_yaml()


def refuse_unstructural(path, node):
    """Source: the Kubernetes documentation on structural schemas and on list types."""
    assert not NOT_STRUCTURAL & node.keys()
    mixed = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    assert "type" in node or mixed
    assert "anyOf" not in node or node["x-kubernetes-int-or-string"]
    kind = node.get("type")
    if kind == "array":
        assert node.get("x-kubernetes-list-type", "atomic") in {"atomic", "set", "map"}
        assert "maxItems" in node
        keys = node.get("x-kubernetes-list-map-keys", [])
        assert bool(keys) == (node.get("x-kubernetes-list-type") == "map")
        assert set(keys) <= set(node["items"].get("required", []))
    if kind == "object" and path not in {"$", "$.metadata"}:
        assert "properties" in node or "maxProperties" in node
        assert not ("properties" in node and "additionalProperties" in node)
    if kind == "string" and path not in {"$.apiVersion", "$.kind"}:
        assert node.keys() & {"maxLength", "enum", "format"}
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        assert node.get(bound) in {None, True}


def test_every_node_is_structural_and_bounded():
    checked = 0
    for path, node in nodes(SCHEMA):
        refuse_unstructural(path, node)
        checked += 1
    assert checked > 400


def test_a_bound_with_a_fraction_is_expressed_in_cel():
    """The API server's own check cuts the fraction off where the value is whole, and takes 0 for too large below 0.5."""
    smoothing = node_at(SCHEMA, "spec.method.dpo.labelSmoothing")

    assert smoothing["minimum"] == 0
    assert "maximum" not in smoothing
    assert [validation["rule"] for validation in smoothing["x-kubernetes-validations"]] == ["self < 0.5"]


def test_no_bound_that_the_api_server_checks_itself_has_a_fraction():
    bounds = [node[bound] for _, node in nodes(SCHEMA) for bound in ("minimum", "maximum") if bound in node]

    assert bounds
    assert [bound for bound in bounds if bound != int(bound)] == []


@pytest.mark.parametrize(
    "node",
    [
        {"description": "typeless"},
        {"type": "array", "items": {"type": "string", "maxLength": 1}},
        {"type": "string"},
        {"type": "object"},
        {"type": "integer", "exclusiveMinimum": 0},
        {"type": "string", "maxLength": 3, "nullable": True},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ],
    ids=str,
)
def test_the_checker_itself_refuses(node):
    with pytest.raises((AssertionError, KeyError)):
        refuse_unstructural("$.spec.x", node)


def test_every_field_of_the_specification_is_in_the_schema():
    for path, node in nodes(SPEC, "spec"):
        model = model_at(path.replace("[items]", "").replace("[additionalProperties]", "").split("."))
        if model is not None and "properties" in node:
            assert tuple(node["properties"]) == names_in(model)


def test_the_definition_has_no_defaults_but_those_of_scale_and_kstatus():
    found = {path.removeprefix("$."): node["default"] for path, node in nodes(SCHEMA) if "default" in node}

    assert found == {"spec.serving.replicas": 1, "spec.serving.resources": {}, "status": {}, "status.observedGeneration": UNSEEN}


def test_what_the_api_server_fills_in_are_defaults_of_pydantic_too():
    raw = raw_job({"serving": {}})
    filled = defaulted(SPEC, raw["spec"])

    assert filled["serving"] == {"replicas": 1, "resources": {}}
    assert parse({**raw, "spec": filled}) == parse(raw)


def parts_with_defaults(model):
    for info in model.model_fields.values():
        part = part_of(info.annotation)
        if part is not None:
            yield from parts_with_defaults(part)
            default = info.get_default(call_default_factory=True)
            if isinstance(default, part):
                yield f"{model.__name__}.{info.alias}", part, default


def test_the_default_of_a_part_is_the_part_with_its_own_defaults():
    """CEL and the policy have one default of a field, whether the field or the part around it is absent (api/places.py)."""
    found = list(parts_with_defaults(FineTuneJobSpec))

    assert len(found) > 10
    assert [name for name, part, default in found if default != part()] == []


def test_names_columns_and_status():
    spec = crd()["spec"]
    version = spec["versions"][0]
    assert (spec["names"]["shortNames"], spec["names"]["categories"], spec["scope"]) == (["ftj"], ["tunewright"], "Namespaced")
    assert set(version["subresources"]) == {"status", "scale"}
    columns = version["additionalPrinterColumns"]
    assert [c["name"] for c in columns if "priority" not in c] == ["PHASE", "PROGRESS", "LOSS", "ETA", "READY", "AGE"]
    assert [c["name"] for c in columns if c.get("priority") == 1] == ["MODEL", "WORKERS", "ZERO", "ENDPOINT", "REASON"]


@pytest.mark.parametrize("column", crd()["spec"]["versions"][0]["additionalPrinterColumns"], ids=lambda column: column["name"])
def test_columns_read_fields_that_exist_with_their_type(column):
    path = column["jsonPath"].removeprefix(".").replace('[?(@.type=="Ready")]', "[*]")
    if path.startswith("metadata."):
        return
    assert node_at(SCHEMA, path)["type"] == column["type"]


# --- one verdict: the schema and pydantic -----------------------------------------------------------------------------------------


def bounds_in_cel(schema, value):
    """Whether numbers keep to those of their bounds that CEL says (the API server reads them beside the schema)."""
    if isinstance(value, dict):
        return all(bounds_in_cel(part, value[name]) for name, part in schema.get("properties", {}).items() if name in value)
    if isinstance(value, list):
        return all(bounds_in_cel(schema.get("items", {}), item) for item in value)
    rules = [validation["rule"] for validation in schema.get("x-kubernetes-validations", ())] if schema.get("type") == "number" else []
    return all(ENVIRONMENT.program(ENVIRONMENT.compile(rule)).evaluate({"self": json_to_cel(float(value))}) for rule in rules)


def verdicts(raw):
    by_schema = VALIDATOR.is_valid(raw) and bounds_in_cel(SCHEMA, raw)
    try:
        parse(raw)
    except ValidationError as error:
        unseen = {"extra_forbidden"}  # the API server prunes unknown fields instead
        kinds = {problem["type"] for problem in error.errors()}
        # Neither keys of maps nor entries of two types (imagePullSecrets) can be described in full.
        loose = any(str(problem["loc"][-1]) == "[key]" or "imagePullSecrets" in problem["loc"] for problem in error.errors())
        return by_schema, False, bool(kinds & unseen) or loose
    return by_schema, True, False


@settings(max_examples=250, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(mutated_jobs())
def test_the_schema_and_pydantic_accept_the_same_values(raw):
    by_schema, by_pydantic, beyond_schema = verdicts(raw)
    assume(not beyond_schema)
    assert by_schema == by_pydantic


@pytest.mark.parametrize(
    ("want", "changes"),
    [
        (True, {}),
        (True, {"workers.resources": {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}}}),
        (True, {"deepspeed": {"stage": 3}}),
        (True, {"deepspeed": {"stage": "Auto"}}),
        (False, {"deepspeed": {"stage": "3"}}),
        (False, {"deepspeed": {"stage": 4}}),
        (False, {"deepspeed": {"stage": True}}),
        (False, {"training.learningRate": 0}),
        (True, {"training.learningRate": 1}),
        (True, {"method": {"type": "dpo", "dpo": {"labelSmoothing": 0}}}),
        (True, {"method": {"type": "dpo", "dpo": {"labelSmoothing": 0.49}}}),
        (False, {"method": {"type": "dpo", "dpo": {"labelSmoothing": 0.5}}}),
        (False, {"method": {"type": "dpo", "dpo": {"labelSmoothing": 1}}}),
        (False, {"training.adamBeta1": 1}),
        (False, {"workers.resources": {"limits": {"cpu": "1 core"}}}),
        (False, {"workers.resources": {"limits": {"cpu": -1}}}),
        (False, {"workers.acceleratorMemory": -1}),
        (False, {"export.volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": -1}}]}),
        (False, {"output.storage": {"size": -1}}),
        (True, {"output.storage": {"size": 1}}),
        (False, {"data.train": []}),
        (False, {"data.train[0].source.pvc.path": "a/../b"}),
        (True, {"data.train[0].source.pvc.path": "a/..b/c.jsonl"}),
        (True, {"deepspeed": {"config": {"zero_optimization": {"stage": 2}}}}),
    ],
    ids=str,
)
def test_verdicts_at_the_edges(want, changes):
    assert verdicts(raw_job(changes))[:2] == (want, want)


# --- one verdict: CEL and the rules -------------------------------------------------------------------------------------------------

PROGRAMS = [(rule, ENVIRONMENT.program(ENVIRONMENT.compile(rule.cel), functions=QUANTITIES)) for rule in RULES if rule.cel]


def cel_places(rule, spec):
    """The API server's view of every place that the rule looks at."""
    for node in rule.subject.nodes:
        places = [spec]
        for step in node.split(".")[1:]:
            found = [place[name] for place in places if (name := step.removesuffix("[*]")) in place]
            places = [item for items in found for item in items] if step.endswith("[*]") else found
        yield from places


# Where CEL says less than the rule, because a part has no schema or the arithmetic is too long to repeat.
CEL_SAYS_LESS = {"E005", "E101", "E204", "E207", "E306", "E307"}


def verdict_of_cel(rule, program, raw):
    return all(bool(program.evaluate({"self": json_to_cel(place)})) for place in cel_places(rule, defaulted(SPEC, raw["spec"])))


@pytest.mark.parametrize("stored", [as_written, in_full])
@pytest.mark.parametrize("side", [2, 3], ids=["broken", "kept"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_cel_agrees_with_the_rule(case, side, stored):
    code, raw = case[0], raw_job(case[side])
    for rule, program in PROGRAMS:
        if rule.code == code:
            holds = verdict_of_cel(rule, program, stored(raw))
            obeyed = not list(rule.find(parse(raw).spec))
            assert holds == obeyed or (code in CEL_SAYS_LESS and holds)


def test_cel_finds_nothing_wrong_with_good_jobs():
    for changes in ({}, {"deepspeed": {"stage": 3}, "serving": {}, "method.lora": {}, "workers.replicas": 2}, {"method.tuner": "full"}):
        assert [rule.code for rule, program in PROGRAMS if not verdict_of_cel(rule, program, raw_job(changes))] == []


def test_most_rules_that_concern_typed_fields_are_checked_by_the_api_server():
    assert len(PROGRAMS) >= 30


def validations(path):
    return [validation["rule"] for validation in node_at(SCHEMA, path).get("x-kubernetes-validations", [])]


def test_no_rule_of_the_definition_compares_a_whole_part_with_its_earlier_value():
    """Such a rule would be evaluated at each write of a status; a policy has them (api/policygen.py)."""
    assert "self == oldSelf" not in crd_yaml()


def test_job_names_are_limited_to_those_of_services():
    program = ENVIRONMENT.program(ENVIRONMENT.compile(SCHEMA["x-kubernetes-validations"][0]["rule"]))
    for name, want in (("a-1", True), ("x" * 63, True), ("x" * 64, False), ("a.b", False)):
        assert bool(program.evaluate({"self": json_to_cel({"metadata": {"name": name}})})) is want
        try:
            parse({**raw_job(), "metadata": {"name": name}})
            by_pydantic = True
        except ValidationError:
            by_pydantic = False
        assert by_pydantic is want


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.cel], ids=lambda rule: f"{rule.code}-{rule.path}")
def test_cel_rules_point_at_fields_and_fit_the_api_server_s_limits(rule):
    assert len(rule.cel) < 2048
    assert len(f"{rule.code}: {rule.refuses}. {rule.way_out}") < 2048
    for node in rule.subject.nodes:
        assert node_at(SCHEMA, f"{node}.{rule.path}")
