"""Who may talk to whom: nobody to a worker but its own gang, a worker to nobody but its gang, DNS, progress, and the hub when asked.

Storage needs no rule: volumes are mounted by the node.
"""

from urllib.parse import urlsplit

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import Manifest, metadata, selector

_TCP_443: Manifest = {"port": 443, "protocol": "TCP"}
# By port alone: node-local caches answer on link-local addresses that no pod selector matches.
_DNS: Manifest = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
# The whole world less the link-local range, where clouds hand out their nodes' credentials.
_HUB: Manifest = {
    "ports": [_TCP_443],
    "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}, {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}}],
}


def render_network_policies(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return one policy per stage that is wanted."""
    policies: list[Manifest] = []
    if plan.check is not None:
        policies.append(_policy(plan, plan.names.check, Component.CHECK, ingress=[], egress=_outside(plan)))
    if plan.train is not None:
        gang = [{"podSelector": {"matchLabels": selector(plan, Component.TRAIN)}}]
        egress = [{"to": gang}, *_outside(plan), *_progress(plan)]
        policies.append(_policy(plan, plan.names.train, Component.TRAIN, ingress=[{"from": gang}], egress=egress))
    if plan.export is not None:
        policies.append(_policy(plan, plan.names.export, Component.EXPORT, ingress=[], egress=_outside(plan)))
    if plan.serve is not None:
        clients: Manifest = {"ports": [{"port": "http", "protocol": "TCP"}]}
        policies.append(_policy(plan, plan.names.serve, Component.SERVE, ingress=[clients], egress=[]))
    return tuple(policies)


def _policy(plan: FineTunePlan, name: str, component: Component, *, ingress: list[Manifest], egress: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(plan, name, component),
        "spec": {
            "podSelector": {"matchLabels": selector(plan, component)},
            "policyTypes": ["Ingress", "Egress"],
            # An empty list means what no list means, nobody, but the API server takes it for a change whenever it is applied again.
            **({"ingress": ingress} if ingress else {}),
            **({"egress": egress} if egress else {}),
        },
    }


def _outside(plan: FineTunePlan) -> list[Manifest]:
    return [_DNS, _HUB] if plan.hub_access else [_DNS]


def _progress(plan: FineTunePlan) -> list[Manifest]:
    """Open the way to the progress endpoint: its port, in its namespace when its address tells (`<service>.<namespace>.svc…`)."""
    if not plan.progress_url:
        return []
    url = urlsplit(plan.progress_url)
    rule: Manifest = {"ports": [{"port": url.port or (443 if url.scheme == "https" else 80), "protocol": "TCP"}]}
    host = (url.hostname or "").split(".")
    if host[2:3] == ["svc"]:
        rule["to"] = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": host[1]}}}]
    return [rule]
