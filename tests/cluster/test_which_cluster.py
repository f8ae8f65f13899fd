"""Selection of the tests' cluster, and above all the clusters that are never used, with pytest in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from existing import CONSENT, consenting
from waiting import until

pytestmark = pytest.mark.harness

ROOT = Path(__file__).parents[2]
ONE_TEST = "tests/contract/test_definition.py::test_the_definition_is_structural_and_established"
DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "finetunejobs.tunewright.io")
GONE = """
apiVersion: v1
kind: Config
clusters: [{name: gone, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: gone, context: {cluster: gone, user: ""}}]
current-context: gone
"""  # port 9 is the discard service, which does not run here
DECIDE = ("PYTEST_ADDOPTS", "KUBECONFIG", "KUBEBUILDER_ASSETS", "REQUIRE_CLUSTER")


@pytest.fixture
def installed(control_plane):
    """A definition that another user installed."""
    there = control_plane.api.get(*DEFINITION) is not None
    if not there:
        done = control_plane.kubectl("create", "-f", str(ROOT / "crds"))
        assert done.returncode == 0, done.stderr
    yield
    if not there:
        control_plane.api.delete(*DEFINITION)
        until(lambda: control_plane.api.get(*DEFINITION) is None, "the definition goes")


def run_one_test(**environment):
    clean = {name: value for name, value in os.environ.items() if name not in DECIDE}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", ONE_TEST]
    return subprocess.run(command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("code", "says", "environment"),
    [
        (0, "1 skipped", {}),
        (0, "lacks etcd, kube-apiserver, kube-controller-manager, kubectl", {}),
        (1, "REQUIRE_CLUSTER=1, but", {"REQUIRE_CLUSTER": "1"}),
        (0, "1 skipped", {"REQUIRE_CLUSTER": "0"}),
    ],
    ids=["skipped", "with the reason", "a failure where a cluster is a must", "not a must"],
)
def test_without_programs_the_level_is_skipped_unless_it_is_a_must(tmp_path, code, says, environment):
    done = run_one_test(KUBEBUILDER_ASSETS=str(tmp_path), **environment)

    assert (done.returncode, says in done.stdout) == (code, True), done.stdout


def test_a_developer_s_own_cluster_is_asked_for_its_consent_and_nothing_else(control_plane):
    if control_plane.audit is None:
        pytest.skip("this is a cluster that exists")
    before = control_plane.audit.end()
    done = run_one_test(KUBECONFIG=str(control_plane.kubeconfig))
    ours = [event for event in control_plane.audit.events(since=before) if event["user"]["username"] == "admin"]

    assert (done.returncode, "1 passed" in done.stdout, "does not allow these tests" in done.stdout) == (0, True, True), done.stdout
    assert [(event["verb"], event["objectRef"]["name"]) for event in ours if "objectRef" in event] == [("get", CONSENT)]
    assert {event["verb"] for event in ours} == {"get"}


@pytest.mark.parametrize(
    ("says", "named"),
    [("does not answer", GONE), ("is no file", "/nowhere/kubeconfig"), ("names several files", "/nowhere/a:/nowhere/b"), ("", "")],
    ids=["a cluster that is gone", "a file that is not there", "several clusters", "none"],
)
def test_a_cluster_that_cannot_be_asked_is_not_used_and_the_reason_is_said(control_plane, tmp_path, monkeypatch, named, says):
    if named == GONE:
        named = str(tmp_path / "gone.kubeconfig")
        Path(named).write_text(GONE)
    monkeypatch.setenv("KUBECONFIG", named)
    kubeconfig, reason = consenting(control_plane.plane.programs.kubectl if control_plane.plane else None)

    assert (kubeconfig, says in reason, bool(reason)) == (None, True, bool(says))


@pytest.fixture
def consent(control_plane):
    """A cluster's consent to these tests."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CONSENT}}
    there = control_plane.api.get("v1", "Namespace", CONSENT) is not None
    if not there:
        assert control_plane.api.create(namespace, keep=True).accepted
    yield
    if not there:
        control_plane.api.delete("v1", "Namespace", CONSENT)
        until(lambda: control_plane.api.get("v1", "Namespace", CONSENT) is None, "the namespace goes")


@pytest.mark.usefixtures("consent")
def test_a_cluster_that_consents_is_used_and_left_as_it_was(control_plane):
    """Twice: the first run must have removed what the second would be refused for."""
    if control_plane.api.get(*DEFINITION) is not None:
        pytest.skip("other tests have the definition installed; run this file alone")
    for _ in range(2):
        done = run_one_test(KUBECONFIG=str(control_plane.kubeconfig))
        assert (done.returncode, "nothing is started" in done.stdout, "1 passed" in done.stdout) == (0, True, True), done.stdout


@pytest.mark.usefixtures("consent", "installed")
def test_a_cluster_that_has_tunewright_installed_is_refused(control_plane):
    done = run_one_test(KUBECONFIG=str(control_plane.kubeconfig))

    assert (done.returncode, "has Tunewright installed" in done.stdout) == (1, True), done.stdout
    assert control_plane.api.get(*DEFINITION) is not None
