"""The control plane of other tests: its rights, its audit log, and that it ends with its owner."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from api_server import ApiServer
from control_plane import PREFIX, ControlPlane, StartError, free_ports, sweep_control_planes
from waiting import until

pytestmark = pytest.mark.harness

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
HERE = Path(__file__).parent
OWNER = """
import sys, time
sys.path.insert(0, {here!r})
from binaries import find
from control_plane import ControlPlane
plane = ControlPlane(find())
plane.start()
print(plane.folder, *plane.pids().values(), flush=True)
{then}
"""


@pytest.fixture
def owner(control_plane):
    """Start a control plane in a process of its own; return the process, the plane's folder and its programs' ids."""
    started = []

    def start(then):
        process = subprocess.Popen([sys.executable, "-c", OWNER.format(here=str(HERE), then=then)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        folder, *pids = process.stdout.readline().split()
        return process, Path(folder), [int(pid) for pid in pids]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def alive(pid):
    stat = Path("/proc", str(pid), "stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids):
    until(lambda: not any(map(alive, pids)), "programs end with their owner")


def plane_of(control_plane):
    if control_plane.plane is None:
        pytest.skip("this is a cluster that exists")
    return control_plane.plane


def test_its_files_are_for_its_owner_only(control_plane):
    assert plane_of(control_plane).folder.stat().st_mode & 0o077 == 0


def test_everything_listens_on_this_machine_only(control_plane):
    pids = set(plane_of(control_plane).pids().values())
    sockets = {str(link.readlink()) for pid in pids for link in Path("/proc", str(pid), "fd").iterdir() if link.is_symlink()}
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    addresses = {row[1].split(":")[0] for row in listening if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}

    assert addresses == {"0100007F"}  # 127.0.0.1


def test_who_has_no_role_may_do_nothing_and_the_audit_log_says_so(control_plane):
    plane = plane_of(control_plane)
    before = plane.audit.end()
    asked = plane.kubectl("get", "configmaps", "--as=nobody")
    events = [event for event in plane.audit.events(since=before) if event.get("impersonatedUser", {}).get("username") == "nobody"]

    assert "Forbidden" in asked.stderr
    assert {
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"]) for event in events if "objectRef" in event
    } == {("list", "configmaps", 403)}


def test_a_certificate_makes_a_user_of_its_groups(control_plane):
    plane = plane_of(control_plane)
    kubeconfig = plane.kubeconfig_for("ada", "developers", "testers")
    said = plane.kubectl(
        f"--kubeconfig={kubeconfig}", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}"
    )

    assert said.stdout == 'ada ["developers","testers","system:authenticated"]'


def test_controllers_run_and_no_pod_does(control_plane, namespace):
    pod = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a", "securityContext": RESTRICTED}]},
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "one"}, "spec": {"template": pod}}
    assert control_plane.api.create(job, namespace, keep=True).message == ""
    pods = control_plane.api.dynamic.resources.get(api_version="v1", kind="Pod")
    (made,) = until(lambda: pods.get(namespace=namespace).items, "the Job controller makes a pod")
    assert made.status.phase == "Pending"


def test_two_stand_beside_each_other(owner, control_plane):
    _, folder, pids = owner("time.sleep(600)")

    assert all(map(alive, pids))
    assert ApiServer(folder / "admin.kubeconfig").get("v1", "Namespace", "default") is not None
    assert control_plane.api.get("v1", "Namespace", "default") is not None


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise RuntimeError('on purpose')"], ids=["returns", "exits", "raises"])
def test_it_ends_with_its_owner(owner, end):
    process, folder, pids = owner(end)
    process.wait()

    wait_until_gone(pids)
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_it_ends_with_a_killed_owner_and_is_swept_by_the_next(owner, number):
    process, folder, pids = owner("time.sleep(600)")
    process.send_signal(number)
    process.wait()

    wait_until_gone(pids)
    sweep_control_planes()
    assert not folder.exists()


def test_a_living_owner_s_folder_is_not_swept(control_plane):
    sweep_control_planes()

    assert plane_of(control_plane).kubeconfig.exists()
    assert plane_of(control_plane).folder.name.startswith(f"{PREFIX}{os.getpid()}-")


def test_a_program_that_ends_is_named_with_its_last_words(control_plane, tmp_path):
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho no such flag >&2\nexit 7\n")
    broken.chmod(0o755)
    plane = ControlPlane(replace(plane_of(control_plane).programs, apiserver=broken))

    with pytest.raises(StartError, match=r"(?s)kube-apiserver ended with code 7.*no such flag"):
        plane.start()
    assert not plane.folder.exists()


def test_free_ports_differ():
    assert len(set(free_ports(20))) == 20
