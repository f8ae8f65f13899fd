"""What NetworkPolicies admit on two nodes that enforce them: those of a job, and the operator's. Pods that listen stand for all parties.

Each connection of the table is possible before the policies exist. The operator's way to the API server is not in it: this cluster's
listens on a port of its own, which `networkPolicy.apiServerPorts` would have to name.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from namespaces import new_namespace
from plan_builders import quickstart_plan, serving
from probe_pods import pod
from ruamel.yaml import YAML
from waiting import until

from tunewright.plan.plan_types import FineTunePlan, Owner
from tunewright.render.labels import child_labels
from tunewright.render.network import render_network_policies
from tunewright.render.variables import RENDEZVOUS_PORT, SERVER_PORT
from tunewright_contract.stages import CHECK, SERVE, TRAIN

pytestmark = [pytest.mark.slow, pytest.mark.two_nodes, pytest.mark.timeout(1800)]

INSTALLED = Path(__file__).parents[2] / "deploy" / "install.yaml"
PROGRESS, METRICS = 8080, 8081  # the operator's
GLOO, INNER, ANY = 40_000, 8082, 8080  # a port that a rank chooses; one that a server does not publish; an unrelated pod's
DNS, API = ("dns", 53), ("api", 443)


class Party(NamedTuple):
    """A pod: its node, its labels and its ports by number, with their names."""

    node: str
    labels: dict[str, str]
    ports: dict[int, str]


def parties(plan: FineTunePlan, other: FineTunePlan, operator: dict[str, str]) -> dict[str, Party]:
    """Return the pods by name; `operator`: the labels of the operator's."""
    rank = {RENDEZVOUS_PORT: "rendezvous", GLOO: "gloo"}
    return {
        "rank-0": Party("node-1", child_labels(plan, TRAIN.component), rank),
        "rank-1": Party("node-2", child_labels(plan, TRAIN.component), rank),
        "rank-of-another-job": Party("node-2", child_labels(other, TRAIN.component), rank),
        "check": Party("node-1", child_labels(plan, CHECK.component), {ANY: "any"}),
        "server": Party("node-2", child_labels(plan, SERVE.component), {SERVER_PORT: "http", INNER: "inner"}),
        "operator": Party("node-1", operator, {PROGRESS: "progress", METRICS: "metrics"}),
        "unrelated-1": Party("node-1", {}, {ANY: "any"}),
        "unrelated-2": Party("node-2", {}, {ANY: "any"}),
    }


ADMITTED = [
    ("rank-1", "rank-0", RENDEZVOUS_PORT),
    ("rank-0", "rank-1", GLOO),
    ("rank-0", "operator", PROGRESS),
    ("rank-1", "operator", PROGRESS),
    ("rank-of-another-job", "operator", PROGRESS),
    ("check", "rank-0", RENDEZVOUS_PORT),  # check and gang share a policy
    ("rank-0", "check", ANY),
    ("rank-0", *DNS),
    ("rank-1", *DNS),
    ("check", *DNS),
    ("operator", *DNS),
    ("unrelated-1", "server", SERVER_PORT),
    ("unrelated-2", "server", SERVER_PORT),
]
OTHERS = ("unrelated-1", "unrelated-2", "rank-of-another-job", "server", "operator")
BLOCKED = [
    *((party, "rank-0", RENDEZVOUS_PORT) for party in OTHERS),
    *((party, "rank-1", GLOO) for party in OTHERS),
    *((party, "operator", PROGRESS) for party in ("unrelated-1", "unrelated-2", "check", "server")),
    *((party, "operator", METRICS) for party in ("unrelated-1", "unrelated-2", "rank-1", "check", "server")),
    *((party, "server", INNER) for party in ("unrelated-1", "unrelated-2", "rank-0", "operator")),
    *((party, "check", ANY) for party in OTHERS),
    *((party, "unrelated-1", ANY) for party in ("rank-0", "rank-1", "check", "server", "operator")),
    *((party, "unrelated-2", ANY) for party in ("rank-0", "rank-1", "check", "server", "operator")),
    *((party, *API) for party in ("rank-0", "rank-1", "check", "server")),
    ("server", *DNS),
]
Dial = Callable[[str, str, int], bool]


@pytest.fixture(scope="module")
def dial(node, second) -> Iterator[Dial]:
    """Try a connection between two parties, under the policies."""
    spaces = [new_namespace(node.api) for _ in range(2)]
    own, operators = map(next, spaces)
    (policy,) = (YAML(typ="safe").load(text) for text in INSTALLED.read_text().split("\n---\n") if "\nkind: NetworkPolicy\n" in text)
    endpoint = f"http://tunewright.{operators}.svc:{PROGRESS}/"
    plan, other = (
        serving(quickstart_plan(name=name, owner=Owner(namespace=own, name=name, uid=name), progress_url=endpoint))
        for name in ("mine", "other")
    )
    pods = parties(plan, other, policy["spec"]["podSelector"]["matchLabels"])
    namespaces = {name: operators if name == "operator" else own for name in pods}
    for name, party in pods.items():
        apply(node, manifest(name, party), namespaces[name])
    for name in pods:
        ready = node.kubectl("wait", "pod", name, f"--namespace={namespaces[name]}", "--for=condition=Ready", "--timeout=300s")
        assert ready.returncode == 0, ready.stderr
    hosts = {name: node.api.get("v1", "Pod", name, namespaces[name])["status"]["podIP"] for name in pods}
    hosts |= {"dns": node.own.slot.address, "api": node.api.get("v1", "Service", "kubernetes", "default")["spec"]["clusterIP"]}

    def dialled(source: str, target: str, port: int) -> bool:
        words = ("exec", source, f"--namespace={namespaces[source]}", "--", "probe", "dial", f"{hosts[target]}:{port}")
        return bool(node.kubectl(*words).stdout.strip() == "connected")

    for row in ADMITTED + BLOCKED:
        until(lambda row=row: dialled(*row), f"without policies, {row}")
    for each in [*render_network_policies(plan), *render_network_policies(other)]:
        del each["metadata"]["ownerReferences"]  # there is no such owner, so that Kubernetes would delete them
        apply(node, each, own)
    apply(node, policy | {"metadata": {"name": "tunewright"}}, operators)
    yield dialled
    for space in spaces:
        next(space, None)


def manifest(name: str, party: Party) -> dict:
    """Return a pod with one container for each port."""
    made = pod(name=name, labels=party.labels)
    (container,) = made["spec"]["containers"]
    made["spec"]["containers"] = [
        container | {"name": word, "command": ["probe", "serve", f":{port}", name], "ports": [{"name": word, "containerPort": port}]}
        for port, word in party.ports.items()
    ]
    made["spec"]["nodeSelector"] = {"kubernetes.io/hostname": party.node}
    return made


def apply(node, made: dict, namespace: str) -> None:
    made["metadata"]["namespace"] = namespace
    done = node.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("source", "target", "port"), BLOCKED)
def test_is_blocked(dial, source, target, port):
    until(lambda: not dial(source, target, port), "it is refused")


@pytest.mark.parametrize(("source", "target", "port"), ADMITTED)
def test_is_admitted(dial, source, target, port):
    until(lambda: dial(source, target, port), "it is admitted")
