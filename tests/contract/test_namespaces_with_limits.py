"""Pods with the planned requests and limits, in a namespace with a LimitRange or a ResourceQuota.

Each row has what the namespace bounds, the stages whose pods a real API server refuses, and the settings that admit them. A refusal has to
name these settings' place in the job.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from api_jobs import raw_job
from api_server import ApiServer
from status_builders import CHECKED
from waiting import until

from tunewright.api.rules import check
from tunewright.api.v1alpha1.job import parse
from tunewright.observe.pod_refusals import misfit_of
from tunewright.plan.inputs import Defaults, References
from tunewright.plan.plan import forecast
from tunewright.render import render
from tunewright.render.manifests import TrialPod, trial_pods

SMALL = CHECKED.model.model_copy(update={"parameters": 100_000_000})
TWO_CPUS = {"resources": {"limits": {"cpu": "2"}}}
ALL = ("check", "workers", "export", "serving")


def limit_range(**bounds: Mapping[str, str]) -> dict[str, Any]:
    return {"kind": "LimitRange", "spec": {"limits": [{"type": "Container", **bounds}]}}


def quota(*names: str) -> dict[str, Any]:
    return {"kind": "ResourceQuota", "spec": {"hard": dict.fromkeys(names, "1Ti")}}


def memory(limit: str, **request: str) -> dict[str, Any]:
    requests = {"requests": {"memory": request["request"]}} if request else {}
    return {"resources": {"limits": {"memory": limit}, **requests}}


ROWS = [
    pytest.param(limit_range(max={"cpu": "4", "memory": "16Gi"}), {}, id="a maximum above the planned limits: it is also the default"),
    pytest.param(limit_range(max={"memory": "4Gi"}), {"check": memory("4Gi"), "export": memory("4Gi")}, id="a maximum below them"),
    pytest.param(limit_range(min={"cpu": "100m", "memory": "256Mi"}), {}, id="a minimum below the planned requests"),
    pytest.param(
        limit_range(min={"cpu": "1"}), {"check": {"resources": {"requests": {"cpu": "1"}}}}, id="a minimum above one of the planned requests"
    ),
    pytest.param(
        limit_range(default={"cpu": "2", "memory": "8Gi"}, defaultRequest={"cpu": "1", "memory": "2Gi"}), {}, id="defaults above the requests"
    ),
    pytest.param(
        limit_range(default={"cpu": "200m"}, defaultRequest={"cpu": "100m"}),
        {"check": TWO_CPUS, "export": TWO_CPUS},
        id="a default limit below the planned requests",
    ),
    pytest.param(
        limit_range(maxLimitRequestRatio={"memory": "2"}),
        {
            "check": memory("8Gi", request="4Gi"),
            "workers": memory("8Gi", request="4Gi"),
            "export": memory("8Gi", request="4Gi"),
            "serving": memory("8Gi", request="4Gi"),
        },
        id="a ratio of limit and request",
    ),
    pytest.param(
        limit_range(maxLimitRequestRatio={"cpu": "4"}), dict.fromkeys(ALL, TWO_CPUS), id="a ratio that needs a limit of CPUs"
    ),
    pytest.param(quota("limits.cpu"), dict.fromkeys(ALL, TWO_CPUS), id="a quota on limits of CPUs"),
    pytest.param(quota("limits.memory"), {"workers": memory("8Gi"), "serving": memory("8Gi")}, id="a quota on limits of memory"),
    pytest.param(quota("requests.cpu"), {"workers": TWO_CPUS, "serving": TWO_CPUS}, id="a quota on requests of CPUs"),
    pytest.param(quota("requests.ephemeral-storage", "limits.ephemeral-storage"), {}, id="a quota on scratch space"),
]  # fmt: skip


def pods(settings: Mapping[str, Any], namespace: str) -> Iterator[TrialPod]:
    """Yield a pod of each stage of a job with these settings."""
    raw = raw_job({"serving": {}, **settings})
    job = parse(raw | {"metadata": {"name": "bot", "namespace": namespace, "uid": "u"}})
    assert check(job.spec) == ()
    planned = forecast(job, References(claims={"corpora": ("ReadWriteMany",)}), Defaults(), model_facts=SMALL)
    yield from trial_pods(render(planned).children)


def refusals(server: ApiServer, settings: Mapping[str, Any], namespace: str) -> dict[str, str]:
    """Return the refusals, by the stage's part of the specification."""
    said = {pod.stage: server.create(pod.manifest, namespace).message for pod in pods(settings, namespace)}
    assert len(said) == 4
    found = {stage: misfit_of(stage, message) for stage, message in said.items() if message}
    assert None not in found.values(), said
    return {stage.settings: str(misfit) for stage, misfit in found.items()}


@pytest.mark.parametrize(("bound", "settings"), ROWS)
def test_planned_amounts_are_admitted_or_the_refusal_names_the_settings_that_are(server, namespace, bound, settings):
    bound = {"apiVersion": "v1", "metadata": {"name": "bound"}, **bound}
    assert server.create(bound, namespace, keep=True).message == ""
    if bound["kind"] == "ResourceQuota":
        until(lambda: (server.get("v1", "ResourceQuota", "bound", namespace) or {}).get("status", {}).get("used"), "the quota counts")
    refused = refusals(server, {}, namespace)
    assert refused.keys() == settings.keys()
    assert [part for part, message in refused.items() if f"Change spec.{part}.resources" not in message] == []
    assert refusals(server, settings, namespace) == {}
