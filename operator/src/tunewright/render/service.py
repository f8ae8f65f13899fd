"""Services: one for a gang to find its members, one for clients to find the servers."""

from collections.abc import Mapping

from tunewright.plan.plan_types import FineTunePlan, TrainPlan
from tunewright.render.gang_job import begun_with
from tunewright.render.labels import JsonObject, metadata, selector
from tunewright.render.variables import RENDEZVOUS_PORT
from tunewright_contract import stages
from tunewright_contract.stages import Shape, Stage


def render_services(plan: FineTunePlan) -> list[JsonObject]:
    """Return the Services of the planned stages."""
    writers = {Shape.GANG: _gang, Shape.SERVER: _server}
    wanted = (stage for stage in stages.STAGES if stage in plan.stages and stage.shape in writers)
    return [_service(plan, stage, writers[stage.shape](), _begun_with(plan, stage)) for stage in wanted]


def _gang() -> JsonObject:
    """Return a headless Service: it gives every rank a DNS name, also before the pod is ready, because rendezvous needs it."""
    return {
        "clusterIP": "None",
        "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP", "targetPort": "rendezvous"}],
        "publishNotReadyAddresses": True,
    }


def _server() -> JsonObject:
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
