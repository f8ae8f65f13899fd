"""A node ends with its owner: its pods, their mounts, its network and its folders."""

import subprocess
import sys
import tempfile
from pathlib import Path

import cgroups
import pytest
from control_plane import PREFIX
from node import sweep
from slots import Slot
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.harness]
CLUSTER = Path(__file__).parents[1] / "cluster"
OWNER = """
import json, sys
sys.path.insert(0, {cluster!r})
from binaries import NODE, find
from node import PROBE_IMAGE, Node
node = Node(find(NODE))
node.start()
made = node.kubectl("create", "-f", "-", stdin=json.dumps({manifests}).replace("IMAGE", PROBE_IMAGE))
assert made.returncode == 0, made.stderr
ready = node.kubectl("wait", "pod", "probe", "--for=condition=Ready", "--timeout=120s")
assert ready.returncode == 0, ready.stderr
print(node.slot.number, node.namespaces.pid, flush=True)
sys.stdin.readline()
"""
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe"},
    "spec": {
        "containers": [
            {"name": "a", "image": "IMAGE", "command": ["probe", "pause"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}
MANIFESTS = {"apiVersion": "v1", "kind": "List", "items": [CLAIM, POD]}


@pytest.fixture
def owner(node):
    """A node beside the session's, with a pod and a volume, in a process of its own; its slot, and all processes that are on it."""
    if node.own is None:
        pytest.skip("this is a cluster that exists")
    program = OWNER.format(cluster=str(CLUSTER), manifests=MANIFESTS)
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        said = process.stdout.readline().split()
        assert len(said) == 2, "the node did not start"
        slot, pid = Slot(int(said[0])), int(said[1])
        yield process, slot, processes_on(slot, pid)
    finally:
        process.kill()
        process.communicate()


def processes_on(slot, pid):
    """Those in the node's own process namespace, and those in its pods: (process id, when it started), for ids are given out again."""
    inside = Path(f"/proc/{pid}/ns/pid").readlink()
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if (each / "ns/pid").readlink() == inside or slot.name in (each / "cgroup").read_text():
                found.add((int(each.name), fields_of(each.name)[19]))
        except OSError:  # it ended meanwhile
            continue
    return found


def fields_of(pid):
    """Return what follows the name in /proc/<pid>/stat: the state first, the start as the twentieth."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def is_alive(process):
    pid, started = process
    try:
        state, *_ = fields = fields_of(pid)
    except OSError:
        return False
    return state not in "ZX" and fields[19] == started


def what_is_left(slot, process):
    groups = [root / slot.name for root in cgroups.hierarchies()]
    planes = Path(tempfile.gettempdir()).glob(f"{PREFIX}{process.pid}-*")
    there = [slot.folder, Path("/sys/class/net", slot.link), *groups, *planes]
    return [path for path in there if path.exists()] + [line for line in Path("/proc/mounts").read_text().splitlines() if slot.name in line]


def test_two_stand_beside_each_other_and_a_stopped_one_leaves_nothing(node, owner):
    process, slot, pids = owner
    assert slot != node.own.slot
    assert len(pids) > 5
    process.communicate("end\n")

    assert process.returncode == 0
    until(lambda: not any(map(is_alive, pids)), "the kernel has ended all that ran on the node")
    assert what_is_left(slot, process) == []
    assert node.kubectl("get", "nodes").returncode == 0


def test_a_killed_one_ends_at_once_and_the_next_start_sweeps_the_rest(owner):
    process, slot, pids = owner
    process.kill()
    process.wait()

    until(lambda: not any(map(is_alive, pids)), "all that ran on the node ends with its owner")
    until(lambda: not Path("/sys/class/net", slot.link).exists(), "its network goes too")
    sweep()
    assert what_is_left(slot, process) == []
