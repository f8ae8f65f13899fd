"""Values: refusals by name before an installation, and agreement of values.yaml, its schema and its page."""

import json
import sys

import jsonschema
import pytest
import yaml
from helm import CHART, ROOT

sys.path.append(str(ROOT / "tools"))
from values_table import read_values, values_table

VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
NOT_OURS = {"enabled"}  # a parent chart's condition


@pytest.mark.parametrize(
    ("says", "values"),
    [
        (["replica"], {"replica": 2}),
        (["images", "trainr"], {"images": {"trainr": {}}}),
        (["images/operator", "tagg"], {"images": {"operator": {"tagg": "x"}}}),
        (["images/server/digest", "sha256"], {"images": {"server": {"digest": "md5:1"}}}),
        (["images/operator/repository"], {"images": {"operator": {"repository": "Tunewright/Operator:1"}}}),
        (["images/operator/registry"], {"images": {"operator": {"registry": "https://registry.example.com"}}}),
        (["global/imageRegistry"], {"global": {"imageRegistry": "no spaces"}}),
        (["images/pullPolicy", "IfNotPresent"], {"images": {"pullPolicy": "Sometimes"}}),
        (["imagePullSecrets/0"], {"imagePullSecrets": ["registry"]}),
        (["crds", "kept"], {"crds": {"kept": True}}),
        (["crds/keep", "boolean"], {"crds": {"keep": "yes please"}}),
        (["watchNamespaces", "array"], {"watchNamespaces": "research"}),
        (["watchNamespaces/1"], {"watchNamespaces": ["research", "Not_A_Namespace"]}),
        (["watchNamespaces", "equal"], {"watchNamespaces": ["research", "research"]}),
        (["settings/workers", "64"], {"settings": {"workers": 65}}),
        (["settings/acceleratorMemory"], {"settings": {"acceleratorMemory": "eighty"}}),
        (["settings/logLevel", "DEBUG"], {"settings": {"logLevel": "TRACE"}}),
        (["extraEnv/0", "name"], {"extraEnv": [{"value": "x"}]}),
        (["replicas", "integer"], {"replicas": "two"}),
        (["replicas", "maximum"], {"replicas": 6}),
        (["replicas", "leaderElection.enabled=true"], {"replicas": 2, "leaderElection": {"enabled": False}}),
        (["serviceAccount.name"], {"serviceAccount": {"create": False}}),
        (["extraEnv", "TUNEWRIGHT_WORKERS", "settings"], {"extraEnv": [{"name": "TUNEWRIGHT_WORKERS", "value": "9"}]}),
        (["affinity", "nodeAfinity"], {"affinity": {"nodeAfinity": {}}}),
        (["serviceMonitor/interval"], {"serviceMonitor": {"interval": "often"}}),
        (["networkPolicy/metricsFrom/0", "podSelektor"], {"networkPolicy": {"metricsFrom": [{"podSelektor": {}}]}}),
        (["podDisruptionBudget/maxUnavailable"], {"podDisruptionBudget": {"maxUnavailable": "half"}}),
        (["fullnameOverride"], {"fullnameOverride": "Tunewright"}),
        (["commonLabels/team"], {"commonLabels": {"team": "two words"}}),
    ],
    ids=lambda item: ".".join(item) if isinstance(item, list) else "",
)
def test_an_invalid_value_is_refused_by_name(helm, says, values):
    done = helm.try_template(values)

    assert done.returncode != 0
    assert all(word in done.stderr for word in says), done.stderr


def test_a_parent_chart_can_disable_this_one_and_have_its_own_globals(helm):
    assert helm.template({"enabled": True, "global": {"storageClass": "fast"}})


def test_the_defaults_meet_the_schema():
    jsonschema.validate(yaml.safe_load(VALUES), SCHEMA)


def test_the_schema_has_what_values_have_and_nothing_else():
    def differ(values, schema, path=""):
        if schema.get("additionalProperties", True) is not False:
            return
        names = schema["properties"].keys() - (set() if path else NOT_OURS)
        if names != values.keys() and path != ".resources":  # which may claim devices, too
            yield path, names ^ values.keys()
        for name in names & values.keys():
            if isinstance(values[name], dict) and values[name]:
                yield from differ(values[name], schema["properties"][name], f"{path}.{name}")

    assert list(differ(yaml.safe_load(VALUES), SCHEMA)) == []


def test_every_value_has_a_description():
    assert [value.path for value in read_values(VALUES) if not value.text] == []


def test_every_value_is_in_the_table():
    def paths(values, above=""):
        for name, value in values.items():
            if isinstance(value, dict) and value:
                yield from paths(value, f"{above}{name}.")
            else:
                yield f"{above}{name}"

    table = values_table(VALUES)

    assert [path for path in paths(yaml.safe_load(VALUES)) if f"| `{path}` | `" not in table] == []
    assert table in (ROOT / "docs/install.md").read_text(), "make chart"
