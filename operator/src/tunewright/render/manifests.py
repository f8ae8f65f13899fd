"""`render`: all children of a job, in the order of their application, and the server revision to run.

`trial_pods`: pods to try on the API server before a stage starts: what its Job or Deployment would create, with the same labels.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tunewright.plan.plan_types import FineTunePlan, PodPlan, ServePlan, TrainPlan
from tunewright.plan.rollout import Choice
from tunewright.render.deployment import choose_revision, render_deployment
from tunewright.render.disruption_budget import render_disruption_budgets
from tunewright.render.jobs import render_gang_jobs, render_pod_jobs
from tunewright.render.labels import JsonObject
from tunewright.render.network import render_network_policies, render_services
from tunewright.render.volumes import render_config_map, render_volume_claim
from tunewright_contract import stages
from tunewright_contract.stages import Stage

_COMPONENT = "app.kubernetes.io/component"


class TrialPod(NamedTuple):
    """One pod of a stage."""

    stage: Stage
    manifest: JsonObject


def trial_pods(children: Iterable[JsonObject]) -> tuple[TrialPod, ...]:
    """Return one pod of each workload among these rendered children."""
    of_component = {stage.component: stage for stage in stages.STAGES}
    workloads = [child for child in children if "template" in child.get("spec", {})]
    return tuple(TrialPod(of_component[child["metadata"]["labels"][_COMPONENT]], _pod(child)) for child in workloads)


def _pod(workload: JsonObject) -> JsonObject:
    meta, template = workload["metadata"], workload["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        # A fixed name, because refusals name it, and status must not change with each try.
        "metadata": {**template["metadata"], "name": f"{meta['name']}-trial", "namespace": meta["namespace"]},
        "spec": template["spec"],
    }


class Rendering(NamedTuple):
    """The children of a plan, and its server revision."""

    children: tuple[JsonObject, ...]  # in the order of their application
    serving: Choice | None = None  # the server revision that the Deployment runs; None: there is no Deployment


def render(plan: FineTunePlan) -> Rendering:
    """Return the children of a job. Cannot fail; equal plans give equal manifests."""
    workloads, serving = _workloads(plan)
    children = (
        *render_config_map(plan),  # pods mount it: without it they stay in ContainerCreating
        *render_volume_claim(plan),  # pods mount it, too
        *render_network_policies(plan),  # before the pods, so that no pod starts without its policy
        *render_disruption_budgets(plan),  # before the pods, too
        *render_services(plan),  # before the gang: DNS caches keep a failed lookup of a name
        *workloads,
    )
    return Rendering(children=children, serving=serving)


def _workloads(plan: FineTunePlan) -> tuple[list[JsonObject], Choice | None]:
    """Return the Jobs and the Deployment, stage by stage."""
    workloads: list[JsonObject] = []
    serving = None
    for stage in stages.STAGES:
        match plan.stages.get(stage):
            case PodPlan() as wanted:
                workloads += render_pod_jobs(plan, stage, wanted)
            case TrainPlan() as wanted:
                workloads += render_gang_jobs(plan, stage, wanted)
            case ServePlan() as wanted if serving := choose_revision(plan, stage, wanted):
                workloads.append(render_deployment(plan, stage, wanted, serving))
    return workloads, serving
