"""Alerts and dashboard use existing metrics and labels."""

import inspect
import json
import re

import pytest
from chart_values import EVERYTHING
from helm import RELEASE, kind_of

from tunewright.shell.health import OperatorMetrics
from tunewright_server.engine.request import Lengths
from tunewright_server.metrics import GeneratorMetrics
from tunewright_server.metrics import Metrics as ServerMetrics

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


class Idle:
    """Whatever is counted, there is none of it."""

    def __getattr__(self, name):
        return 0


class IdleEngine(Idle):
    slots = 1
    lengths = Lengths.shared(1)
    load = Idle()


def names(registry):
    return {family.name + suffix for family in registry.collect() for suffix in SUFFIXES[family.type]}


@pytest.fixture(scope="module")
def operator():
    return OperatorMetrics(**dict.fromkeys(inspect.signature(OperatorMetrics).parameters, lambda: 0)).registry


@pytest.fixture(scope="module")
def server():
    metrics = ServerMetrics()
    GeneratorMetrics(metrics, IdleEngine(), "m")
    return metrics.registry


def rules(manifests):
    (rule,) = kind_of(manifests, "PrometheusRule")
    return rule["spec"]["groups"][0]["rules"]


def dashboard(manifests):
    (found,) = kind_of(manifests, "ConfigMap")
    return json.loads(found["data"]["tunewright.json"])


def expressions(manifests):
    yield from (rule["expr"] for rule in rules(manifests))
    for panel in dashboard(manifests)["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_every_queried_metric_exists(helm, operator, server):
    asked = {name for text in expressions(helm.template(EVERYTHING)) for name in re.findall(r"tunewright_[a-z_]+|vllm:[a-z_]+", text)}

    assert asked - names(operator) - names(server) == set()
    assert any(name.startswith("vllm:") for name in asked)


def test_every_metric_of_the_operator_is_shown(helm, operator):
    shown = " ".join(expressions(helm.template(EVERYTHING)))
    families = {family.name for family in operator.collect()}

    assert {name for name in families if name not in shown} == set()


def test_alerts_select_this_release_only(helm):
    (service,) = kind_of(helm.template(EVERYTHING), "Service")
    where = f'job="{service["metadata"]["name"]}", namespace="{service["metadata"]["namespace"]}"'
    for rule in rules(helm.template(EVERYTHING)):
        selected = re.findall(r"\w+\{([^}]*)\}", rule["expr"])
        assert selected, rule["alert"]
        assert all(labels.startswith(where) for labels in selected), rule["alert"]


def test_alerts_describe_the_problem_and_the_next_step(helm):
    for rule in rules(helm.template(EVERYTHING)):
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]
        assert rule["annotations"]["description"].endswith("."), rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")"), rule["alert"]


def test_the_dashboard_has_no_overlapping_panels(helm):
    cells = [
        (x, y)
        for panel in dashboard(helm.template(EVERYTHING))["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_service_monitor_finds_the_service(helm):
    manifests = helm.template({"serviceMonitor": {"enabled": True}})
    (monitor,), (service,) = kind_of(manifests, "ServiceMonitor"), kind_of(manifests, "Service")

    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]]
    assert monitor["metadata"]["name"] == RELEASE
