"""The pod template of all stages: one restricted container without access to the API server."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.plan.plan_types import EnvValue, FineTunePlan, PodOptions, Scheduling
from tunewright.render.labels import JsonObject, child_labels, selector
from tunewright.render.variables import TERMINATION_LOG, env_list
from tunewright.render.volumes import Mount, volume_mounts, volumes

USER = 65532  # the images' own user; they also run as any other


def pod_template(
    plan: FineTunePlan,
    component: str,
    *,
    container: JsonObject,
    mounts: Sequence[Mount],
    options: PodOptions,
    grace_seconds: int,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    together: bool = False,
    spread: Sequence[Mapping[str, Any]] = (),
    **spec: Any,
) -> JsonObject:
    """Return a pod template.

    `together`: all pods of this stage run on one node. `spread`: its constraints, unless the job has its own. `spec` has the stage's own
    fields (restartPolicy, subdomain, …).
    """
    own = child_labels(plan, component)
    metadata: JsonObject = {"labels": {**own, **(labels or {}), **options.labels, **own}}
    if notes := {**(annotations or {}), **options.annotations}:
        metadata["annotations"] = notes
    return {
        "metadata": metadata,
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [container],
            "enableServiceLinks": False,  # else the environment has variables for every Service of the namespace
            "securityContext": {
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",  # changing the owner of every checkpoint at every start takes minutes
                "runAsGroup": USER,
                "runAsNonRoot": True,
                "runAsUser": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": grace_seconds,
            "volumes": volumes(mounts, scratch=container["resources"].get("limits", {}).get("ephemeral-storage")),
            **_scheduling(options.scheduling, selector(plan, component), together=together, spread=spread),
            **spec,
        },
    }


def container(
    name: str,
    *,
    image: str,
    command: Sequence[str],
    variables: Mapping[str, EnvValue],
    mounts: Sequence[Mount],
    resources: Mapping[str, Mapping[str, str]],
    **more: Any,
) -> JsonObject:
    """Return the one container of a pod. `more` has the stage's own fields (ports, probes, …)."""
    return {
        "name": name,
        "image": image,
        "command": list(command),
        "env": env_list(variables),
        "resources": {kind: dict(amounts) for kind, amounts in resources.items()},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",  # after a crash without a report, the message is the log's last lines
        "volumeMounts": volume_mounts(mounts),
        **more,
    }


def _scheduling(scheduling: Scheduling, own: Mapping[str, str], *, together: bool, spread: Sequence[Mapping[str, Any]]) -> JsonObject:
    these = {"labelSelector": {"matchLabels": dict(own)}}
    wanted: JsonObject = {
        "nodeSelector": dict(scheduling.node_selector),
        "tolerations": [dict(toleration) for toleration in scheduling.tolerations],
        "affinity": _beside(own, scheduling.affinity or {}) if together else scheduling.affinity,
        "priorityClassName": scheduling.priority_class_name,
        "runtimeClassName": scheduling.runtime_class_name,
        "schedulerName": scheduling.scheduler_name,
        "serviceAccountName": scheduling.service_account_name,
        "imagePullSecrets": [{"name": name} for name in scheduling.image_pull_secrets],
        "topologySpreadConstraints": [these | dict(constraint) for constraint in scheduling.topology_spread_constraints or spread],
    }
    return {field: value for field, value in wanted.items() if value}


def _beside(labels: Mapping[str, str], affinity: Mapping[str, Any]) -> JsonObject:
    """Add a pod affinity to pods with these labels. The scheduler places the first of them freely."""
    beside = {"labelSelector": {"matchLabels": dict(labels)}, "topologyKey": "kubernetes.io/hostname"}
    pods = dict(affinity.get("podAffinity") or {})
    asked = pods.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    return {**affinity, "podAffinity": {**pods, "requiredDuringSchedulingIgnoredDuringExecution": [*asked, beside]}}
