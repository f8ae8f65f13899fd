"""`render`: all children of a job, in the order in which they are to be applied."""

from collections.abc import Callable

from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.check_job import render_check_job
from tunewright.render.config_map import render_config_map
from tunewright.render.deployment import render_deployment
from tunewright.render.disruption_budget import render_disruption_budgets
from tunewright.render.export_job import render_export_job
from tunewright.render.labels import Manifest
from tunewright.render.network_policy import render_network_policies
from tunewright.render.service import render_serve_service, render_train_service
from tunewright.render.train_job import render_train_jobs
from tunewright.render.volume_claim import render_volume_claim

# The only ordering list.
_ORDER: tuple[Callable[[FineTunePlan], tuple[Manifest, ...]], ...] = (
    render_config_map,  # pods mount it: without it they hang in ContainerCreating
    render_volume_claim,  # likewise
    render_network_policies,  # before the pods they guard, or a pod starts unguarded
    render_disruption_budgets,  # likewise
    render_train_service,  # before the gang: a name asked for too early is remembered as absent by DNS caches
    render_serve_service,
    render_check_job,  # stages in the order of the story
    render_train_jobs,
    render_export_job,
    render_deployment,
)


def render(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the children of a job. Cannot fail; equal plans give equal manifests."""
    return tuple(manifest for builder in _ORDER for manifest in builder(plan))
