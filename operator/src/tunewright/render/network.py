"""Services and allowed traffic.

One Service is for a gang to find its members, one for clients to find the servers.

One NetworkPolicy selects all pods that make the model. Traffic to them may come from the job's gang. From them it may go to the gang, DNS,
the progress endpoint, and the hub if used. Servers have a policy of their own, because policies add up: with the first one, a server that
answers for other people could connect to the hub. Storage needs no rule: volumes are mounted by the node.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tunewright.plan.label_names import COMPONENT, SHARED
from tunewright.plan.plan_types import FineTunePlan, TrainPlan
from tunewright.render.jobs import begun_with
from tunewright.render.labels import JsonObject, metadata, selector
from tunewright.render.variables import RENDEZVOUS_PORT
from tunewright_contract import stages
from tunewright_contract.stages import Shape, Stage


def render_services(plan: FineTunePlan) -> list[JsonObject]:
    """Return the Services of the planned stages."""
    writers = {Shape.GANG: _for_members, Shape.SERVER: _for_clients}
    wanted = (stage for stage in stages.STAGES if stage in plan.stages and stage.shape in writers)
    return [_service(plan, stage, writers[stage.shape](), _begun_with(plan, stage)) for stage in wanted]


def _for_members() -> JsonObject:
    """Return a headless Service: it gives every rank a DNS name, also before the pod is ready, because rendezvous needs it."""
    return {
        "clusterIP": "None",
        "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP", "targetPort": "rendezvous"}],
        "publishNotReadyAddresses": True,
    }


def _for_clients() -> JsonObject:
    return {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "appProtocol": "http"}]}


def _begun_with(plan: FineTunePlan, stage: Stage) -> dict[str, str]:
    """Return what a gang has begun with. Its Service has it, too, because the Job of the first attempt can be deleted."""
    wanted = plan.stages[stage]
    return begun_with(plan, wanted) if isinstance(wanted, TrainPlan) else {}


def _service(plan: FineTunePlan, stage: Stage, spec: JsonObject, annotations: Mapping[str, str]) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(plan, plan.names[stage], stage.component, annotations=annotations),
        "spec": {"type": "ClusterIP", **spec, "selector": selector(plan, stage.component)},
    }


_TCP_443: JsonObject = {"port": 443, "protocol": "TCP"}
# By port alone: node-local caches answer on link-local addresses that no pod selector matches.
_DNS: JsonObject = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
# All addresses except the link-local range, where clouds serve their nodes' credentials.
_HUB: JsonObject = {
    "ports": [_TCP_443],
    "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}, {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}}],
}


def render_network_policies(plan: FineTunePlan) -> list[JsonObject]:
    """Return a policy for the pods that make the model, of all stages, as soon as one of them is planned; and one for the servers."""
    servers = stages.of_shape(Shape.SERVER)
    makers = tuple(stage for stage in stages.STAGES if stage not in servers)
    groups = ((makers, _makers), (servers, _servers))
    return [_policy(plan, group, *rules(plan)) for group, rules in groups if not plan.stages.keys().isdisjoint(group)]


def _makers(plan: FineTunePlan) -> tuple[list[JsonObject], list[JsonObject]]:
    members = [{"podSelector": _pods_of(plan, stages.of_shape(Shape.GANG))}]
    return [{"from": members}], [{"to": members}, *_outside(plan), *_progress(plan)]


def _servers(_: FineTunePlan) -> tuple[list[JsonObject], list[JsonObject]]:
    return [{"ports": [{"port": "http", "protocol": "TCP"}]}], []


def _policy(plan: FineTunePlan, alike: Sequence[Stage], ingress: list[JsonObject], egress: list[JsonObject]) -> JsonObject:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(plan, plan.names[alike[0]], alike[0].component if len(alike) == 1 else SHARED),
        "spec": {
            "podSelector": _pods_of(plan, alike),
            "policyTypes": ["Ingress", "Egress"],
            # An empty list and no list both mean no peer, but each apply of an empty list counts as a change.
            **({"ingress": ingress} if ingress else {}),
            **({"egress": egress} if egress else {}),
        },
    }


def _pods_of(plan: FineTunePlan, alike: Sequence[Stage]) -> JsonObject:
    """Select the pods of these stages."""
    if len(alike) == 1:
        return {"matchLabels": selector(plan, alike[0].component)}
    components = {"key": COMPONENT, "operator": "In", "values": [stage.component for stage in alike]}
    job = {key: value for key, value in selector(plan, alike[0].component).items() if key != COMPONENT}
    return {"matchLabels": job, "matchExpressions": [components]}


def _outside(plan: FineTunePlan) -> list[JsonObject]:
    return [_DNS, _HUB] if plan.hub_access else [_DNS]


def _progress(plan: FineTunePlan) -> list[JsonObject]:
    """Allow the progress endpoint: its port, and only its namespace if its address has one (`<service>.<namespace>.svc…`)."""
    if not plan.progress_url:
        return []
    url = urlsplit(plan.progress_url)
    rule: JsonObject = {"ports": [{"port": url.port or (443 if url.scheme == "https" else 80), "protocol": "TCP"}]}
    host = (url.hostname or "").split(".")
    if host[2:3] == ["svc"]:
        rule["to"] = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": host[1]}}}]
    return [rule]
