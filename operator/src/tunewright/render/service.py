"""Services: one for the gang to find its members, one for clients to find the servers."""

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import Manifest, metadata, selector
from tunewright.render.variables import RENDEZVOUS_PORT


def render_train_service(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the headless Service that gives every rank a DNS name, before it is ready: rendezvous comes first."""
    if plan.train is None:
        return ()
    return (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(plan, plan.names.train, Component.TRAIN),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "None",
                "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP", "targetPort": "rendezvous"}],
                "publishNotReadyAddresses": True,
                "selector": selector(plan, Component.TRAIN),
            },
        },
    )


def render_serve_service(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the Service in front of the servers."""
    if plan.serve is None:
        return ()
    return (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(plan, plan.names.serve, Component.SERVE),
            "spec": {
                "type": "ClusterIP",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "appProtocol": "http"}],
                "selector": selector(plan, Component.SERVE),
            },
        },
    )
