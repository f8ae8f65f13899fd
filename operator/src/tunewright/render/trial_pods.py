"""Pods of the stages, to try on the API server before a stage starts: what its Job or Deployment would create, with the same labels."""

from collections.abc import Iterable
from typing import NamedTuple

from tunewright.render.labels import JsonObject
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
