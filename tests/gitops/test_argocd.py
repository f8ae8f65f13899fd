"""Argo CD's view of a FineTuneJob: the committed Lua script, run by real Lua of Argo CD's version, without any library."""

from pathlib import Path

import lupa.lua51
import lupa.lua54
import pytest
from judged_statuses import judged, stored
from plan_builders import exporting, quickstart_plan, serving
from ruamel.yaml import YAML

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
