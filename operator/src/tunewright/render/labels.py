"""Metadata of children: recommended labels, own labels, and the owner reference that deletes children with their job."""

from collections.abc import Mapping
from typing import Any

from tunewright.plan import label_names
from tunewright.plan.names import label_value
from tunewright.plan.plan_types import FineTunePlan, Owner, PodPlan, TrainPlan

INSTANCE = "app.kubernetes.io/instance"
JsonObject = dict[str, Any]  # a manifest under construction, or a part of one


def metadata(
    plan: FineTunePlan,
    name: str,
    component: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owned: bool = True,
) -> JsonObject:
    """Return the `metadata` of a child. Without an owner the child stays when the job is deleted."""
    result: JsonObject = {
        "name": name,
        "namespace": plan.owner.namespace,
        "labels": child_labels(plan, component) | dict(labels or {}),
    }
    if annotations:
        result["annotations"] = dict(annotations)
    if owned:
        result["ownerReferences"] = [owner_reference(plan.owner)]
    return result


def recorded(wanted: PodPlan | TrainPlan) -> dict[str, str]:
    """Return the annotations of a Job by which the planner decides whether it is run again."""
    values = {label_names.POD_SETTINGS: wanted.settings, label_names.RETRY: wanted.retry}
    return {name: value for name, value in values.items() if value}


def child_labels(plan: FineTunePlan, component: str) -> dict[str, str]:
    """Return the labels of a child or of its pods.

    The operator's version is not included: a Job's pod template is immutable, and each upgrade would roll out the Deployment.
    """
    return {
        "app.kubernetes.io/name": "tunewright",
        INSTANCE: label_value(plan.owner.name),
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "tunewright",
        "app.kubernetes.io/managed-by": "tunewright",
        **selector(plan, component),
        label_names.JOB_UID: plan.owner.uid,
        label_names.REVISION: plan.revision,
    }


def selector(plan: FineTunePlan, component: str) -> dict[str, str]:
    """Return the labels that select a component's pods, and that never change."""
    return {label_names.JOB_NAME: label_value(plan.owner.name), label_names.COMPONENT: component}


def pod_pass_labels(plan: FineTunePlan) -> dict[str, str]:
    """Return the queue labels for pods. Kueue's stay on the Job: on a pod they would queue it a second time."""
    return {key: value for key, value in plan.pass_labels.items() if not key.startswith(label_names.KUEUE)}


def is_queued(plan: FineTunePlan) -> bool:
    """Return whether Kueue decides when the job's Jobs start."""
    return label_names.is_queued(plan.pass_labels)


def owner_reference(owner: Owner) -> JsonObject:
    """Name the FineTuneJob as the one controller of a child."""
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
