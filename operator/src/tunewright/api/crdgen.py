"""Generates the CustomResourceDefinition: structural schema, CEL rules, and the columns of kubectl.

`make crds` writes it to `crds/` through tools/crds.py, because this room does not touch files. A test compares.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from tunewright.api.rules import RULES
from tunewright.api.rules.predicates import OLD_SELF, SELF, field, size
from tunewright.api.structural import Schema, everywhere, structural, with_defaults_named, without_default
from tunewright.api.supported import CODE, NOT_SUPPORTED_YET
from tunewright.api.v1alpha1.common import DNS_LABEL, LONGEST_LABEL
from tunewright.api.v1alpha1.job import API_VERSION, GROUP, KIND, VERSION, FineTuneJob, FineTuneJobSpec
from tunewright.api.v1alpha1.status import FineTuneJobStatus

PLURAL = "finetunejobs"
FILENAME = f"{PLURAL}.{GROUP}.yaml"
_YAML_1_1_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off"})
UNSEEN = -1  # no generation is this one
NAME_RULE = (size("metadata.name").at_most(LONGEST_LABEL) & field("metadata.name").matches(DNS_LABEL)).cel({SELF: FineTuneJob})
NAME_MESSAGE = f"metadata.name must be a DNS label of at most {LONGEST_LABEL} characters: names of Services are made from it"

# What a model is made from; immutable.py has the table of all their fields.
# Serving, suspension, deadlines, evaluation.allowRegression, and how many pods train, where and how, stay open.
IMMUTABLE_FIELDS = (
    "task", "model", "data", "method", "training", "deepspeed", "output",
    "evaluation.maxSamples", "evaluation.generateSamples", "evaluation.maxNewTokens", "evaluation.gates",
    "workers.acceleratorsPerReplica", "workers.acceleratorMemory",
)  # fmt: skip

COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("PHASE", "string", ".status.phase", 0),
    ("PROGRESS", "integer", ".status.progress.progressPercentage", 0),
    ("LOSS", "string", ".status.progress.loss", 0),
    ("ETA", "integer", ".status.progress.estimatedRemainingSeconds", 0),
    ("READY", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("AGE", "date", ".metadata.creationTimestamp", 0),
    ("MODEL", "string", ".spec.model.source.huggingFace.repo", 1),
    ("WORKERS", "integer", ".status.plan.workers", 1),
    ("ZERO", "integer", ".status.plan.zeroStage", 1),
    ("ENDPOINT", "string", ".status.serving.url", 1),
    ("REASON", "string", ".status.reason", 1),
)


# `kubectl scale` and autoscalers read and set the number of servers here, without a part of their own for this kind.
SCALE = {
    "specReplicasPath": ".spec.serving.replicas",
    "statusReplicasPath": ".status.serving.readyReplicas",
    "labelSelectorPath": ".status.serving.selector",
}


# Parts with the same fields as another part, which has the descriptions of what is below these fields. kubectl stores the whole definition
# in an annotation of at most 256 KiB.
REPEATED = (
    ("spec.check", "spec.workers"),
    ("spec.export", "spec.workers"),
    ("spec.serving", "spec.workers"),
    ("spec.data.validation[*]", "spec.data.train[*]"),
    ("spec.data.test[*]", "spec.data.train[*]"),
)

# The API server fills in these defaults, and no others: the operator does (docs/adr/0034-defaults.md).
KEPT_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("spec.serving.replicas", 1),  # /scale refuses an object without the number
    ("spec.serving.resources", {}),  # not filled in for `serving` that an update of /scale has created: see SCALE_RULE
    ("status", {}),
    ("status.observedGeneration", UNSEEN),  # kstatus (kubernetes-sigs/cli-utils) treats a job without a status as complete
)

# An update of the subresource gets no defaults: it would create `serving` with the number alone.
SCALE_RULE = {
    "rule": "!has(self.serving) || has(self.serving.resources)",
    "message": "the job has no server to scale. Add `serving: {}` to the job first.",
    "fieldPath": ".serving",
}


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as JSON."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ftj"],
                "categories": ["tunewright"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}, "scale": SCALE},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                    "schema": {"openAPIV3Schema": job_schema()},
                }
            ],
        },
    }


def crd_yaml() -> str:
    """Return the file's text, which YAML 1.1 (kubectl, helm) and 1.2 read alike."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 140
    yaml.representer.ignore_aliases = lambda *_: True
    text = io.StringIO()
    yaml.dump(_for_all_yaml(crd()), text)
    return f"# Generated from operator/src/tunewright/api by `make crds`. A test compares; do not edit.\n{text.getvalue()}"


def _for_all_yaml(value: Any) -> Any:
    """Quote the words that YAML 1.1 would read as something else: `no` is false there."""
    if isinstance(value, Mapping):
        return {name: _for_all_yaml(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_for_all_yaml(item) for item in value]
    if isinstance(value, str) and value.lower() in _YAML_1_1_BOOLEANS:
        return SingleQuotedScalarString(value)
    return value


def job_schema() -> Schema:
    """Return the schema of a FineTuneJob, with its CEL rules."""
    schema: Schema = {
        "description": "Fine-tunes a base model on examples, exports it to ONNX and serves it.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Group and version: {API_VERSION}."},
            "kind": {"type": "string", "description": f"Kind: {KIND}."},
            "metadata": {"type": "object"},  # the API server describes it
            "spec": everywhere(without_default, everywhere(with_defaults_named, structural(FineTuneJobSpec))),
            "status": everywhere(without_default, structural(FineTuneJobStatus)),
        },
        "x-kubernetes-validations": [{"rule": NAME_RULE, "message": NAME_MESSAGE}],
    }
    for path, described in REPEATED:
        _refer(schema, path, described)
    for path, default in KEPT_DEFAULTS:
        node_at(schema, path)["default"] = default
    for path, validation in (("spec", SCALE_RULE), *_rules(), *_not_added()):
        node_at(schema, path).setdefault("x-kubernetes-validations", []).append(validation)
    return schema


def _refer(schema: Schema, path: str, described: str) -> None:
    """Describe what is below the fields of a part by a reference to another part, if that has the field, too."""
    fields = node_at(schema, path)["properties"]
    reference = {"description": f"As in {described.removeprefix('spec.').removesuffix('[*]')}."}
    for name in fields.keys() & node_at(schema, described)["properties"].keys():
        own = {"description": fields[name]["description"]}
        fields[name] = everywhere(lambda node: node | reference if "description" in node else node, fields[name]) | own


def node_at(schema: Schema, path: str) -> Schema:
    """Return the schema node of a path such as spec.data.train[*]."""
    for step in path.split("."):
        name = step.removesuffix("[*]")
        schema = schema["properties"][name]
        schema = schema["items"] if step != name else schema
    return schema


def _rules() -> Iterator[tuple[str, Schema]]:
    for rule in RULES:
        if rule.cel is not None:
            message = f"{rule.code}: {rule.refuses}. {rule.way_out}"
            for node in rule.subject.nodes:
                yield node, {"rule": rule.cel, "message": message, "fieldPath": f".{rule.path}"}


def _not_added() -> Iterator[tuple[str, Schema]]:
    for entry in NOT_SUPPORTED_YET:
        if entry.not_added is not None:
            place = entry.path.removeprefix("spec").removesuffix("[*]")
            message = f"{CODE}. {entry.instead}"
            rule = entry.not_added.cel({SELF: FineTuneJobSpec, OLD_SELF: FineTuneJobSpec})
            yield "spec", {"rule": rule, "message": message, "fieldPath": place}


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": priority} if priority else column
