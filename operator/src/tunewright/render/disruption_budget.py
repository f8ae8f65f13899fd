"""Which voluntary disruptions (a drained node, an upgraded cluster) are put off."""

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import Manifest, metadata, selector


def render_disruption_budgets(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the budgets of the gang and of the servers."""
    return (*_gang(plan), *_servers(plan))


def _gang(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Losing one member loses the attempt, so none may be evicted while the gang trains.

    Said as `minAvailable`: `maxUnavailable` needs a controller with a scale, which a Job is not. When there is no gang to protect
    the budget goes too, lest it stand as never met in every dashboard.
    """
    if plan.train is None or plan.suspend or plan.export is not None or plan.serve is not None:
        return ()
    return (_budget(plan, plan.names.train, Component.TRAIN, minAvailable=plan.train.replicas),)


def _servers(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """A single server gets no budget: it would make its node impossible to drain."""
    if plan.serve is None or plan.serve.replicas < 2:
        return ()
    return (_budget(plan, plan.names.serve, Component.SERVE, maxUnavailable=1),)


def _budget(plan: FineTunePlan, name: str, component: Component, **limit: int) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(plan, name, component),
        "spec": {
            **limit,
            "selector": {"matchLabels": selector(plan, component)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that does not work must not hold up a drain
        },
    }
