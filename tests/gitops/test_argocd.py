"""Argo CD's view of a FineTuneJob: the committed Lua script, run by real Lua of Argo CD's version, without any library.

The thorough level asks Argo CD's own code (`argocd/`), also about drift and about the children of a job.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lupa.lua51
import lupa.lua54
import pytest
from api_jobs import raw_job
from argocd import ARGOCD
from gitops_programs import ask
from judged_statuses import judged, stored
from plan_builders import exporting, quickstart_plan, serving
from ruamel.yaml import YAML
from scene import JOB, install_definition

from tunewright.render import render

FOLDER = Path(__file__).parents[2] / "examples/gitops/argocd"
KEY = "resource.customizations.health.tunewright.io_FineTuneJob"
ALLOWED = ("ipairs", "pairs", "tostring", "tonumber", "type")  # what Argo CD's interpreter has, and a little less
STATUSES = {"Healthy", "Progressing", "Degraded", "Suspended"}


def script():
    return YAML(typ="safe").load(FOLDER / "argocd-cm.yaml")["data"][KEY]


@pytest.fixture(params=[lupa.lua51, lupa.lua54], ids=["Lua 5.1", "Lua 5.4"])
def health(request):
    """Return the verdict on a job: (status, message)."""
    lua = request.param.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    known = lua.globals()
    for name in [name for name in known if name not in (*ALLOWED, "_G", "loadstring", "load")]:
        known[name] = None
    load = known["loadstring"] or known["load"]
    known["_G"] = known["loadstring"] = known["load"] = None
    run = load(script())

    def as_lua(value):
        if isinstance(value, dict):
            return lua.table_from({key: as_lua(item) for key, item in value.items()})
        return lua.table_from([as_lua(item) for item in value]) if isinstance(value, list) else value

    def judge(job):
        known["obj"] = as_lua(job)
        verdict = run()
        return verdict["status"], verdict["message"]

    return judge


@pytest.mark.parametrize("case", judged(), ids=lambda case: case.name)
def test_a_job_s_health(health, case):
    status, message = health(case.job)

    assert (status, case.says in message) == (case.argo, True), message


@pytest.mark.parametrize(
    "job",
    [
        {},
        {"metadata": {}},
        {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": []}},
        stored({"conditions": []}),
    ],
    ids=["nothing", "no metadata", "no conditions", "conditions only"],
)
def test_a_job_without_status_is_progressing(health, job):
    assert health(job)[0] == "Progressing"


def test_every_health_status_exists_in_argo_cd(health):
    assert {health(case.job)[0] for case in judged()} == STATUSES


def test_the_patch_keeps_other_settings_of_argo_cd(control_plane, namespace):
    told = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "https://argocd.example.com"}}
    assert control_plane.api.create(told, namespace, keep=True).accepted
    options = ("--namespace", namespace, "--type", "merge", "--patch-file", str(FOLDER / "argocd-cm.yaml"))
    patched = control_plane.kubectl("patch", "configmap", "argocd-cm", *options)

    assert patched.returncode == 0, patched.stderr
    assert control_plane.api.get("v1", "ConfigMap", "argocd-cm", namespace)["data"] == {"url": "https://argocd.example.com", KEY: script()}


@pytest.mark.parametrize(
    "plan", [quickstart_plan(), exporting(quickstart_plan()), serving(quickstart_plan())], ids=["train", "export", "serve"]
)
def test_label_tracking_takes_no_child_for_an_application_of_the_jobs_name(plan):
    """Argo CD manages an object without an owner whose tracking label is the Application's name, and prunes it if Git lacks it.

    Source: gitops-engine, pkg/cache/cluster.go, GetManagedLiveObjs, and argo-cd, util/argo/resource_tracking.go.
    """
    children = render(plan).children
    unowned = [child for child in children if not child["metadata"].get("ownerReferences")]

    assert [child["kind"] for child in unowned] == ["PersistentVolumeClaim"]
    assert [child for child in unowned if child["metadata"]["labels"].get("app.kubernetes.io/instance")] == []
    assert {child["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] for child in unowned} == {"Prune=false,Delete=false"}


def verdicts(objects: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, str]]:
    """Return Argo CD's verdict on each object, with the committed script."""
    written = folder / "health.lua"
    written.write_text(script(), encoding="utf-8")
    return ask(ARGOCD, objects, "health", str(written))


@pytest.mark.gitops
def test_argo_cd_s_own_code_gives_the_same_verdict_on_each_job(tmp_path):
    cases = judged()
    found = verdicts([case.job for case in cases], tmp_path)

    assert {case.name: verdict["status"] for case, verdict in zip(cases, found, strict=True)} == {case.name: case.argo for case in cases}
    living = [(case, verdict) for case, verdict in zip(cases, found, strict=True) if case.name != "going"]  # it has words of its own
    assert [(case.name, verdict["message"]) for case, verdict in living if case.says not in verdict["message"]] == []


CHILDREN = [  # verdict, child, its status
    ("Progressing", ("Deployment", "support-bot-serve"), {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}),
    ("Healthy", ("Deployment", "support-bot-serve"), {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}),
    ("Progressing", ("Job", "support-bot-train-0"), {"active": 2}),
    ("Healthy", ("Job", "support-bot-train-0"), {"conditions": [{"type": "Complete", "status": "True"}]}),
    ("Degraded", ("Job", "support-bot-train-0"), {"conditions": [{"type": "Failed", "status": "True", "message": "a pod failed"}]}),
    ("Progressing", ("PersistentVolumeClaim", "support-bot-output"), {"phase": "Pending"}),
    ("Healthy", ("PersistentVolumeClaim", "support-bot-output"), {"phase": "Bound"}),
]  # fmt: skip


@pytest.mark.gitops
def test_argo_cd_s_own_code_reads_the_children_of_a_job(tmp_path):
    rendered = {(each["kind"], each["metadata"]["name"]): each for each in render(serving(exporting(quickstart_plan()))).children}
    objects = [
        {**rendered[which], "metadata": {**rendered[which]["metadata"], "generation": 1}, "status": status} for _, which, status in CHILDREN
    ]

    assert [verdict["status"] for verdict in verdicts(objects, tmp_path)] == [expected for expected, *_ in CHILDREN]


@pytest.mark.gitops
@pytest.mark.parametrize("options", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_argo_cd_s_own_code_sees_drift_only_where_a_person_changed_a_field(control_plane, namespace, tmp_path, options):
    api, manifest = control_plane.api, raw_job({"suspend": False})
    install_definition(api)
    manifest["metadata"] = {"name": "bot", "namespace": namespace, "labels": {"app.kubernetes.io/instance": "jobs"}}
    path = tmp_path / "job.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    applied = control_plane.kubectl("apply", *options, "-f", str(path))
    assert applied.returncode == 0, applied.stderr

    def live(body: Mapping[str, Any], subresource: str = "") -> Mapping[str, Any]:
        jobs = api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
        patch = (jobs.status if subresource else jobs).patch
        return dict(patch(name="bot", namespace=namespace, body=body, content_type="application/merge-patch+json").to_dict())

    served = next(case for case in judged() if case.name == "serving")
    as_applied = live({"status": dict(served.job["status"])}, "status")
    suspended = live({"spec": {"suspend": True}})
    pairs = [{"manifest": manifest, "live": each} for each in (as_applied, suspended)]

    assert ask(ARGOCD, pairs, "diff") == [False, True]
