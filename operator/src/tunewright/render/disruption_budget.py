"""PodDisruptionBudgets, which delay voluntary disruptions such as a node drain."""

from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import JsonObject, metadata, selector
from tunewright_contract import stages
from tunewright_contract.stages import Shape, Stage


def render_disruption_budgets(plan: FineTunePlan) -> list[JsonObject]:
    """Return the budgets of the gang and of the servers."""
    limits = {Shape.GANG: _gang, Shape.SERVER: _server}
    found = [(stage, limits[stage.shape](plan)) for stage in stages.STAGES if stage in plan.stages and stage.shape in limits]
    return [_budget(plan, stage, limit) for stage, limit in found if limit]


def _gang(plan: FineTunePlan) -> JsonObject:
    """Losing one member loses the attempt, so none may be evicted while the gang trains.

    A single worker gets no budget: its eviction loses no other worker's time. It saves, stops, and the next attempt resumes elsewhere.

    It is a `minAvailable`, because `maxUnavailable` needs a controller with a scale subresource, which a Job lacks. Without a gang
    the budget is removed, because dashboards would show it as violated.
    """
    if plan.train is None or plan.suspend or plan.export is not None or plan.serve is not None:
        return {}
    if plan.train.replicas == 1:
        return {}
    return {"minAvailable": plan.train.replicas}


def _server(plan: FineTunePlan) -> JsonObject:
    """A single server gets no budget, because its node could not be drained."""
    return {"maxUnavailable": 1} if plan.serve is not None and plan.serve.replicas > 1 else {}


def _budget(plan: FineTunePlan, stage: Stage, limit: JsonObject) -> JsonObject:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(plan, plan.names[stage], stage.component),
        "spec": {
            **limit,
            "selector": {"matchLabels": selector(plan, stage.component)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that is not ready must not block a drain
        },
    }
