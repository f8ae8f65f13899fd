"""The server. A new revision is surged beside the old one, takes requests when its self-test answered, and only then the old one drains."""

from tunewright.plan import label_names
from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan, ServePlan
from tunewright.render.labels import Manifest, metadata, selector
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import SERVER_PORT, serve_variables
from tunewright.render.volumes import serve_mounts

PRE_STOP_SECONDS = 5  # until every proxy has heard that the pod leaves; it answers requests meanwhile
MARGIN_SECONDS = 10  # between the server's own drain limit and the kernel's SIGKILL
START_SECONDS = 900  # a graph of many GB read from a slow volume


def render_deployment(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the Deployment."""
    return () if plan.serve is None else (_deployment(plan, plan.serve),)


def _deployment(plan: FineTunePlan, serve: ServePlan) -> Manifest:
    mounts = serve_mounts(plan)
    revision = {label_names.REVISION: plan.revision}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(plan, plan.names.serve, Component.SERVE, annotations=revision),
        "spec": {
            "minReadySeconds": 5,
            "progressDeadlineSeconds": START_SECONDS + 60,  # a pod that will never start is reported by its probe first
            "replicas": serve.replicas,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": selector(plan, Component.SERVE)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": pod_template(
                plan,
                Component.SERVE,
                container=container(
                    Component.SERVE,
                    image=plan.server_image,
                    command=("python", "-m", "tunewright_server"),
                    variables=serve_variables(plan, serve),
                    mounts=mounts,
                    resources=serve.resources,
                    lifecycle={"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
                    ports=[{"name": "http", "containerPort": SERVER_PORT}],
                    startupProbe=_probe("live", periodSeconds=2, failureThreshold=START_SECONDS // 2),
                    readinessProbe=_probe("ready", periodSeconds=5, failureThreshold=2),
                    livenessProbe=_probe("live", periodSeconds=10, failureThreshold=6),  # slow is not dead
                ),
                mounts=mounts,
                scheduling=serve.scheduling,
                grace_seconds=PRE_STOP_SECONDS + serve.drain_seconds + MARGIN_SECONDS,
                annotations=revision,
                together=bool(plan.placement.servers),
                topologySpreadConstraints=[
                    {
                        "labelSelector": {"matchLabels": selector(plan, Component.SERVE)},
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                    }
                ],
            ),
        },
    }


def _probe(question: str, **timing: int) -> Manifest:
    return {"httpGet": {"path": f"/v2/health/{question}", "port": "http"}, "timeoutSeconds": 5, **timing}
