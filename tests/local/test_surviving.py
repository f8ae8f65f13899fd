"""A kill loses nothing: running processes are adopted, ended ones are read, orphans are removed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from local_cluster import Cluster, make_deployment, make_gang, make_job, make_service

from tunewright.local.app import Home
from tunewright.local.container import processes_of
from tunewright.local.supervisor import hold, holder_of
from tunewright_runtime.errors import Rejected

GANG_POLICY = {"rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}
SAVES_ON_SIGTERM = """
    import signal, sys, time
    def stop(*_):
        print("saved", flush=True); sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    print("running", flush=True)
    while True: time.sleep(0.01)
"""
SUPERVISOR = """
    import asyncio, pathlib, sys
    from tunewright.local.app import Home
    asyncio.run(Home(pathlib.Path(sys.argv[1])).machine(("default", "demo")).run())
"""


class Supervisor:
    """A supervisor in a process of its own, to be killed."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SUPERVISOR), str(home)])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def supervisor(home: Home):
    found = Supervisor(home.layout.home)
    yield found
    found.kill()


async def eventually(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what other processes do sets no event here
            await asyncio.sleep(0.02)


async def test_processes_of_a_killed_supervisor_are_adopted(cluster: Cluster, supervisor: Supervisor, tmp_path):
    go_on = tmp_path / "go-on"
    wait = f"import pathlib, time\nprint('running', flush=True)\nwhile not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.01)"
    cluster.create(make_job("demo-train-0", wait))
    await eventually(lambda: "running" in cluster.log())
    supervisor.kill()
    (before,) = processes_of(cluster.pods()[0]["metadata"]["uid"])
    await cluster.until(lambda: cluster.container(cluster.pods()[0])["state"].get("running"))
    assert processes_of(cluster.pods()[0]["metadata"]["uid"]) == [before]
    go_on.touch()
    assert (await cluster.finished("demo-train-0"))["type"] == "Complete"
    assert cluster.log() == "running\n"


async def test_processes_that_ended_without_a_supervisor_are_read_by_the_next(cluster: Cluster, supervisor: Supervisor, tmp_path):
    go_on = tmp_path / "go-on"
    wait = (
        f"import pathlib, time\nprint('running', flush=True)\nwhile not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.01)\nexit(65)"
    )
    cluster.create(make_job("demo-train-0", wait))
    await eventually(lambda: "running" in cluster.log())
    supervisor.kill()
    uid = cluster.pods()[0]["metadata"]["uid"]
    go_on.touch()
    await eventually(lambda: not processes_of(uid))
    await cluster.finished("demo-train-0")
    assert cluster.container(cluster.pods()[0])["state"]["terminated"]["exitCode"] == 65
    assert cluster.log() == "running\n"


async def test_a_server_of_a_killed_supervisor_keeps_its_address(cluster: Cluster, supervisor: Supervisor):
    cluster.create(make_service())
    cluster.create(make_deployment("one"))

    def ready() -> bool:
        return cluster.get("Deployment", "demo-serve").get("status", {}).get("readyReplicas") == 1

    await eventually(ready)
    before = cluster.get("Service", "demo-serve")["metadata"]["annotations"]
    (process,) = processes_of(cluster.pods()[0]["metadata"]["uid"])
    supervisor.kill()
    await cluster.machine.step()
    await cluster.until(ready)
    assert cluster.get("Service", "demo-serve")["metadata"]["annotations"] == before
    assert processes_of(cluster.pods()[0]["metadata"]["uid"]) == [process]


async def test_a_stop_lets_a_gang_save_and_counts_as_a_disruption(cluster: Cluster):
    cluster.create(make_gang(SAVES_ON_SIGTERM, spec={"podFailurePolicy": GANG_POLICY}))
    await cluster.until(lambda: cluster.log().count("running") == 2)
    await cluster.machine.stop(at_once=lambda: False)
    assert cluster.log().count("saved") == 2
    for pod in cluster.pods():
        assert pod["status"]["phase"] == "Failed"
        assert cluster.container(pod)["state"]["terminated"]["exitCode"] == 143
    end = await cluster.finished("demo-train-0")  # the next supervisor's first look
    assert end["reason"] == "PodFailurePolicy"
    assert "has condition DisruptionTarget" in end["message"]


async def test_a_stop_at_once_does_not_wait(cluster: Cluster):
    cluster.create(
        make_job(
            "demo-train-0",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print('running', flush=True); time.sleep(600)",
            grace=600,
        )
    )
    await cluster.until(lambda: "running" in cluster.log())
    await cluster.machine.stop(at_once=lambda: True)
    assert processes_of(cluster.pods()[0]["metadata"]["uid"]) == []


async def test_a_job_that_completes_during_a_stop_is_complete(cluster: Cluster):
    finishes = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(0))\nprint('running', flush=True)\ntime.sleep(600)"
    cluster.create(make_job("demo-check", finishes))
    await cluster.until(lambda: "running" in cluster.log())
    await cluster.machine.stop(at_once=lambda: False)
    assert (await cluster.finished("demo-check"))["type"] == "Complete"


async def test_a_gang_whose_rendezvous_port_is_taken_gets_another(cluster: Cluster, monkeypatch):
    meets = """
        import os, socket, time
        address = (os.environ["PET_MASTER_ADDR"], int(os.environ["PET_MASTER_PORT"]))
        if os.environ["RANK"] == "0":
            server = socket.create_server(address); peer, _ = server.accept(); print("met", peer.recv(10).decode())
        else:
            while True:
                try:
                    peer = socket.create_connection(address); peer.sendall(b"rank 1"); peer.recv(1); break
                except ConnectionRefusedError: time.sleep(0.01)
    """
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = stranger.getsockname()[1]
        choices = iter([taken])
        real = cluster.machine._kubelet._choose_ports
        monkeypatch.setattr(
            cluster.machine._kubelet,
            "_choose_ports",
            lambda spec: {29500: next(choices, None)} if choices.__length_hint__() else real(spec),
        )
        cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "demo-train", "namespace": "default"},
                "spec": {"clusterIP": "None"},
            }
        )
        cluster.create(make_gang(meets))
        assert (await cluster.finished("demo-train-0"))["type"] == "Complete"
    assert cluster.log().splitlines()[-1] == "met rank 1"
    assert {cluster.container(pod)["restartCount"] for pod in cluster.pods()} == {0}


async def test_processes_of_a_deleted_pod_are_ended_when_the_home_is_opened(cluster: Cluster, supervisor: Supervisor):
    cluster.create(make_job("demo-train-0", "import time; print('running', flush=True); time.sleep(600)"))
    await eventually(lambda: "running" in cluster.log())
    supervisor.kill()
    (pod,) = cluster.pods()
    cluster.store.remove_pod("default", pod["metadata"]["name"])
    Home(cluster.home.layout.home).prepare()
    await eventually(lambda: not processes_of(pod["metadata"]["uid"]))
    assert list(cluster.home.layout.pods.glob("*/*")) == []


def test_a_second_process_of_a_job_is_refused_with_the_first_ones_pid(home: Home, now):
    held = "import pathlib, sys; from tunewright.local.app import Home, utc_now; from tunewright.local.supervisor import hold"
    script = f"{held}\nwith hold(Home(pathlib.Path(sys.argv[1])).layout, 'default', 'demo', now=utc_now()): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script, str(home.layout.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(Rejected, match=rf"default/demo is being run by process {other.pid} .*`kill {other.pid}`"),
            hold(home.layout, "default", "demo", now=now),
        ):
            pass
        assert holder_of(home.layout, "default", "demo").pid == other.pid
        os.kill(other.pid, signal.SIGKILL)
    assert holder_of(home.layout, "default", "demo") is None
    with hold(home.layout, "default", "demo", now=now):
        assert holder_of(home.layout, "default", "demo").pid == os.getpid()
