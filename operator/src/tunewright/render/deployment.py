"""The server's Deployment. A new revision starts beside the old one and gets requests after its self-test. Only then the old one drains."""

import json
from hashlib import sha256

from tunewright.plan import label_names
from tunewright.plan.plan_types import FineTunePlan, ServePlan
from tunewright.plan.rollout import Choice, PublishedModel, ServingRevision, Terms, choose
from tunewright.render.labels import JsonObject, metadata, selector
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import SERVER_PORT, serve_variables
from tunewright.render.volumes import serve_mounts
from tunewright_contract.stages import Stage

PRE_STOP_SECONDS = 5  # until every proxy has removed the pod, which answers requests meanwhile
MARGIN_SECONDS = 10  # between the server's own drain limit and the kernel's SIGKILL
MIN_READY_SECONDS = 5
START_SECONDS = 900  # until its port is open, before it loads the model
DIGITS = 6  # of a template's digest
# Servers run on different nodes where there is room.
_SPREAD = ({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},)


def choose_revision(plan: FineTunePlan, stage: Stage, wanted: ServePlan) -> Choice | None:
    """Return the server revision to run: the requested one, unless it was rolled back or cannot be rendered yet.

    None: there is no model yet, and no server.
    """
    revision = _revision(plan, stage, wanted, wanted.model) if isinstance(wanted.model, PublishedModel) else None
    return choose(revision, wanted.rollout, Terms(retry=wanted.retry, progress_deadline_seconds=wanted.progress_deadline_seconds))


def render_deployment(plan: FineTunePlan, stage: Stage, wanted: ServePlan, choice: Choice) -> JsonObject:
    """Return the Deployment that runs the chosen revision."""
    kept = {label_names.MODEL: choice.run.model, label_names.PREVIOUS: choice.previous, label_names.REFUSED: choice.refused}
    annotations = {name: value.model_dump_json(exclude_none=True) for name, value in kept.items() if value is not None}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(plan, plan.names[stage], stage.component, annotations=annotations),
        "spec": {
            "minReadySeconds": MIN_READY_SECONDS,
            "paused": False,  # set explicitly, so that a rollout that was paused by hand continues
            "progressDeadlineSeconds": wanted.progress_deadline_seconds,
            # Not written where an autoscaler is its field manager, or none is recorded: the API server keeps the number.
            **({} if wanted.scaled_by_others else {"replicas": wanted.replicas}),
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": selector(plan, stage.component)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": choice.run.template,
        },
    }


def _revision(plan: FineTunePlan, stage: Stage, serve: ServePlan, model: PublishedModel) -> ServingRevision:
    template = _template(plan, stage, serve, model)
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    name = f"{model.revision}-{sha256(text.encode()).hexdigest()[:DIGITS]}"
    template["metadata"].setdefault("annotations", {})[label_names.SERVING_REVISION] = name
    return ServingRevision(name=name, template=template, model=model if model.job != plan.owner.name else None)


def _template(plan: FineTunePlan, stage: Stage, serve: ServePlan, model: PublishedModel) -> JsonObject:
    mounts = serve_mounts(model, plan.options(stage))
    return pod_template(
        plan,
        stage.component,
        container=container(
            stage.component,
            image=plan.server_image,
            command=stage.command,
            variables=serve_variables(serve, model, plan.options(stage).env),
            mounts=mounts,
            resources=serve.resources,
            lifecycle={"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
            ports=[{"name": "http", "containerPort": SERVER_PORT}],
            startupProbe=_probe("live", periodSeconds=2, failureThreshold=START_SECONDS // 2),
            readinessProbe=_probe("ready", periodSeconds=5, failureThreshold=2),
            livenessProbe=_probe("live", periodSeconds=10, failureThreshold=6),  # a slow server is not restarted
        ),
        mounts=mounts,
        options=plan.options(stage),
        grace_seconds=PRE_STOP_SECONDS + serve.drain_seconds + MARGIN_SECONDS,
        together=bool(plan.placement.servers),
        spread=_SPREAD,
    )


def _probe(question: str, **timing: int) -> JsonObject:
    return {"httpGet": {"path": f"/v2/health/{question}", "port": "http"}, "timeoutSeconds": 5, **timing}
