"""Install, upgrade, roll back, uninstall: the real helm on a real API server of these tests' own, because they delete the CRD.

There is no kubelet: the tests check that the cluster accepts the pods.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from helm import CHART, NAMESPACE, RELEASE, ROOT, Helm, committed_crd
from waiting import until

DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "finetunejobs.tunewright.io")
DEPLOYMENT = ("apps/v1", "Deployment", RELEASE, NAMESPACE)
JOB = ("tunewright.io/v1alpha1", "FineTuneJob", "bot", "default")
SPEC = {
    "task": "ChatCompletion",
    "model": {"source": {"pvc": {"claimName": "base", "path": "model"}}},
    "data": {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "chat.jsonl"}}, "format": "messages"}]},
    "workers": {"replicas": 2, "resources": {"limits": {"cpu": "1", "memory": "2Gi"}}},
}
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


@pytest.fixture
def on_cluster(plane, api, helm_program, tmp_path):
    """helm on that cluster, with the release's namespace; in the end everything is as it was."""
    made = api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}}, keep=True)
    assert made.accepted, made.message
    run = Helm(helm_program, tmp_path, plane.kubeconfig)
    yield run
    run("uninstall", RELEASE, "--ignore-not-found")
    if api.get(*DEFINITION) is not None:
        api.delete(*DEFINITION)
    until(lambda: api.get(*DEFINITION) is None, "the definition goes")


def good(done):
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr  # such as of pod security
    return done.stdout


def create_job(api, name="bot"):
    until(lambda: established(api), "the definition is established")
    api.dynamic.resources.invalidate_cache()
    made = api.create({"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": name}, "spec": SPEC}, "default", keep=True)
    assert made.accepted, made.message
    return made.object


def established(api):
    conditions = ((api.get(*DEFINITION) or {}).get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def pods(plane):
    return yaml.safe_load(plane.kubectl("get", "pods", "-n", NAMESPACE, "-o", "yaml").stdout)["items"]


def test_a_restricted_namespace_admits_the_installed_releases_pod(on_cluster, api, plane):
    good(on_cluster("install", RELEASE, CHART))

    pod = until(lambda: pods(plane), "the Deployment makes a pod")[0]
    assert pod["spec"]["serviceAccountName"] == RELEASE
    assert api.get(*DEFINITION)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert create_job(api)["metadata"]["generation"] == 1


def test_the_commands_in_the_notes_work(on_cluster, api, plane):
    notes = good(on_cluster("install", RELEASE, CHART, "--set", "watchNamespaces={default}"))
    create_job(api)
    commands = re.findall(r"^  kubectl (.+)$", notes, re.MULTILINE)

    assert len(commands) == 3
    for command in commands:
        without_waiting = ["--watch=false"] if "rollout status" in command else []
        done = plane.kubectl(*shlex.split(command), *without_waiting)
        assert done.returncode == 0, done.stderr
    assert "bot" in done.stdout  # the last one lists jobs


def test_uninstalling_keeps_the_crd_and_jobs_and_allows_reinstalling(on_cluster, api, plane):
    good(on_cluster("install", RELEASE, CHART))
    uid = create_job(api)["metadata"]["uid"]
    said = good(on_cluster("uninstall", RELEASE))

    assert "finetunejobs.tunewright.io" in said  # helm prints what it kept
    assert api.get(*JOB)["metadata"]["uid"] == uid
    until(lambda: api.get(*DEPLOYMENT) is None, "the operator goes")
    left = plane.kubectl("get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=tunewright", "-o", "name")
    assert left.stdout == ""

    good(on_cluster("install", RELEASE, CHART))
    assert api.get(*JOB)["metadata"]["uid"] == uid


def test_without_keep_uninstalling_deletes_the_crd_and_all_jobs(on_cluster, api):
    notes = good(on_cluster("install", RELEASE, CHART, "--set", "crds.keep=false"))
    create_job(api)
    good(on_cluster("uninstall", RELEASE))

    assert "deletes every FineTuneJob" in notes
    until(lambda: api.get(*DEFINITION) is None, "the definition goes, which it does after the last job")


def test_a_second_release_refuses_to_adopt_the_crd(on_cluster):
    good(on_cluster("install", RELEASE, CHART))
    done = on_cluster("install", "another", CHART)
    shared = on_cluster("install", "another", CHART, "--set", "crds.enabled=false", "--set", "watchNamespaces={default}")
    on_cluster("uninstall", "another")

    assert (done.returncode, "finetunejobs.tunewright.io" in done.stderr) == (1, True)
    good(shared)


def test_an_upgrade_changes_values_and_a_rollback_restores_them(on_cluster, api):
    def setting():
        spec = api.get(*DEPLOYMENT)["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        env = {item["name"]: item.get("value") for item in container["env"]}
        return env["TUNEWRIGHT_WORKERS"], env["TUNEWRIGHT_LEADER_ELECTION"], spec["strategy"]["type"]

    good(on_cluster("install", RELEASE, CHART))
    uid = create_job(api)["metadata"]["uid"]
    good(on_cluster("upgrade", RELEASE, CHART, "--reset-then-reuse-values", "--set", "settings.workers=3,leaderElection.enabled=false"))
    assert setting() == ("3", "false", "Recreate")

    good(on_cluster("rollback", RELEASE))
    assert setting() == ("8", "true", "RollingUpdate")
    assert api.get(*JOB)["metadata"]["uid"] == uid


def test_changing_to_namespaced_mode_removes_cluster_rights(on_cluster, plane):
    good(on_cluster("install", RELEASE, CHART))
    operator = f"--as=system:serviceaccount:{NAMESPACE}:{RELEASE}"
    before = plane.kubectl("auth", "can-i", "list", "pods", "-n", "kube-system", operator)
    good(on_cluster("upgrade", RELEASE, CHART, "--set", "watchNamespaces={default}"))

    assert before.stdout.strip() == "yes"
    until(lambda: "no" in plane.kubectl("auth", "can-i", "list", "pods", "-n", "kube-system", operator).stdout, "the right is gone")
    until(lambda: "yes" in plane.kubectl("auth", "can-i", "list", "pods", "-n", "default", operator).stdout, "the right is given")


@pytest.fixture
def older_chart(tmp_path):
    """The chart of an earlier release, with a CRD without `spec.serving` and `spec.evaluation`, and with another column."""
    chart = Path(shutil.copytree(CHART, tmp_path / "older"))
    crd = committed_crd()
    (version,) = crd["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for field in ("serving", "evaluation"):
        del spec["properties"][field]
    spec.pop("x-kubernetes-validations", None)
    version["additionalPrinterColumns"] = [{"name": "OLD", "type": "string", "jsonPath": ".status.phase"}]
    crd["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    (chart / "templates/crd.yaml").write_text(json.dumps(crd))  # JSON is YAML
    return chart


def test_an_upgrade_installs_the_newer_crd_and_keeps_older_jobs(on_cluster, api, older_chart, plane):
    good(on_cluster("install", RELEASE, older_chart))
    old = create_job(api)
    assert "OLD" in plane.kubectl("get", "finetunejobs", "-n", "default").stdout

    good(on_cluster("upgrade", RELEASE, CHART))
    until(lambda: "PHASE" in plane.kubectl("get", "finetunejobs", "-n", "default").stdout, "the newer definition is served")
    now = api.get(*JOB)
    assert (now["metadata"]["uid"], now["metadata"]["generation"]) == (old["metadata"]["uid"], 1)
    assert now["spec"]["workers"]["replicas"] == 2

    served = plane.kubectl("patch", "ftj", "bot", "-n", "default", "--type=merge", "-p", '{"spec": {"serving": {"replicas": 1}}}')
    assert served.returncode == 0, served.stderr
    assert api.get(*JOB)["spec"]["serving"]["replicas"] == 1


@pytest.mark.parametrize("how", [["--server-side"], []], ids=["server-side", "client-side"])
def test_the_plain_manifests_can_be_applied_twice_and_deleted(plane, api, how):
    manifests = str(ROOT / "deploy/install.yaml")
    for _ in range(2):
        done = plane.kubectl("apply", *how, "-f", manifests)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    unchanged = [line for line in done.stdout.splitlines() if "configured" in line]
    until(lambda: pods(plane), "the Deployment makes a pod")
    create_job(api)

    assert unchanged == []
    gone = plane.kubectl("delete", "-f", manifests, "--wait=false")
    assert gone.returncode == 0, gone.stderr
    until(lambda: api.get(*DEFINITION) is None, "the definition goes")
    until(lambda: api.get("v1", "Namespace", NAMESPACE) is None, "the namespace goes")
