"""Deployments run as processes behind a Service's port: surge first, drain after, no request dropped."""

import asyncio
import os
import signal
import socket

import aiohttp
from local_cluster import Cluster, make_deployment, make_service

from tunewright.local.container import processes_of


async def get(url: str, path: str = "/") -> str:
    async with aiohttp.ClientSession() as session, session.get(url + path) as response:
        assert response.status == 200
        return await response.text()


def url(cluster: Cluster) -> str:
    return cluster.get("Service", "demo-serve")["metadata"]["annotations"]["tunewright.io/url"]


def status(cluster: Cluster) -> dict:
    return cluster.get("Deployment", "demo-serve").get("status", {})


async def serve(cluster: Cluster, answer: str, **spec) -> None:
    cluster.create(make_service())
    cluster.create(make_deployment(answer, **spec))
    wanted = spec.get("replicas", 1)
    await cluster.until(lambda: status(cluster).get("readyReplicas", 0) == wanted)


async def test_a_ready_server_answers_at_the_address_of_its_service(cluster: Cluster):
    await serve(cluster, "one")
    assert await get(url(cluster)) == "one"
    found = status(cluster)
    assert (found["observedGeneration"], found["replicas"], found["updatedReplicas"], found["availableReplicas"]) == (1, 1, 1, 1)
    assert {entry["type"]: entry["reason"] for entry in found["conditions"]} == {
        "Available": "MinimumReplicasAvailable",
        "Progressing": "NewReplicaSetAvailable",
    }


async def test_a_server_listens_on_the_loopback_interface_only(cluster: Cluster):
    await serve(cluster, "one")
    environment = processes_of(cluster.pods()[0]["metadata"]["uid"])[0].environ()
    assert environment["TUNEWRIGHT_HOST"] == "127.0.0.1"


async def test_a_changed_template_is_rolled_out_without_a_lost_request(cluster: Cluster):
    await serve(cluster, "one", replicas=2)
    address, answers, stop = url(cluster), [], asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            answers.append(await get(address))

    asking = [asyncio.create_task(ask()) for _ in range(3)]
    await cluster.until(lambda: answers)
    new = make_deployment("two", replicas=2)["spec"]
    cluster.store.change("Deployment", "default", "demo-serve", lambda stored: stored.update(spec=new))
    await cluster.until(
        lambda: (
            len(cluster.pods()) == 2
            and status(cluster).get("readyReplicas") == status(cluster).get("updatedReplicas") == 2
            and answers[-1] == "two"
        )
    )
    stop.set()
    await asyncio.gather(*asking)  # raises if any request failed
    assert set(answers) == {"one", "two"}
    assert answers[-1] == "two"


async def test_a_new_revision_that_never_becomes_ready_keeps_the_old_one_serving(cluster: Cluster, tmp_path):
    await serve(cluster, "one")
    (tmp_path / "unready").touch()
    new = make_deployment("two", env={"UNREADY": str(tmp_path / "unready")}, progressDeadlineSeconds=1)["spec"]
    cluster.store.change("Deployment", "default", "demo-serve", lambda stored: stored.update(spec=new))
    await cluster.until(lambda: any(entry["reason"] == "ProgressDeadlineExceeded" for entry in status(cluster)["conditions"]))
    assert await get(url(cluster)) == "one"
    assert len(cluster.pods()) == 2


async def test_a_killed_server_restarts_at_the_same_address(cluster: Cluster):
    await serve(cluster, "one")
    address, (pod,) = url(cluster), cluster.pods()
    os.kill(processes_of(pod["metadata"]["uid"])[0].pid, signal.SIGKILL)
    await cluster.until(lambda: cluster.container(cluster.pods()[0])["restartCount"] == 1 and status(cluster).get("readyReplicas") == 1)
    assert cluster.container(cluster.pods()[0])["lastState"]["terminated"]["exitCode"] == 137
    assert (url(cluster), await get(address)) == (address, "one")


async def test_a_crashing_server_restarts_with_growing_backoff(cluster: Cluster):
    cluster.create(make_deployment("one", code="raise SystemExit('no model here')"))
    seen = await cluster.until(
        lambda: next(
            (entry for entry in map(cluster.container, cluster.pods()) if entry and backs_off(entry) and entry["restartCount"] >= 2), None
        )
    )
    assert seen["lastState"]["terminated"]["exitCode"] == 1
    assert not seen["ready"]


def backs_off(entry: dict) -> bool:
    return entry["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"


async def test_a_server_whose_liveness_probe_fails_is_restarted(cluster: Cluster):
    hangs = """
        import http.server, os, pathlib, time
        first = not pathlib.Path(os.environ["MARK"]).exists()
        pathlib.Path(os.environ["MARK"]).touch()
        class Handler(http.server.BaseHTTPRequestHandler):
            asked = 0
            def do_GET(self):
                Handler.asked += 1
                self.send_response(500 if first and Handler.asked > 3 else 200); self.end_headers()
            def log_message(self, *_): pass
        http.server.HTTPServer(("127.0.0.1", int(os.environ["TUNEWRIGHT_PORT"])), Handler).serve_forever()
    """
    await serve(cluster, "", code=hangs, env={"MARK": str(cluster.home.layout.home / "mark")})
    await cluster.until(lambda: cluster.container(cluster.pods()[0])["restartCount"] == 1 and status(cluster).get("readyReplicas") == 1)


async def test_a_server_gets_requests_only_while_it_is_ready(cluster: Cluster, tmp_path):
    unready = tmp_path / "unready"
    await serve(cluster, "one", env={"UNREADY": str(unready)})
    unready.touch()
    await cluster.until(lambda: not status(cluster).get("readyReplicas"))
    waiting = asyncio.create_task(get(url(cluster)))
    unready.unlink()
    await cluster.until(lambda: status(cluster).get("readyReplicas"))
    assert await waiting == "one"


async def test_a_stopped_server_is_not_ready_and_restarts_at_the_same_address(cluster: Cluster):
    await serve(cluster, "one")
    address = url(cluster)
    await cluster.machine.stop(at_once=lambda: False)
    assert "readyReplicas" not in status(cluster)
    assert cluster.pods()[0]["status"]["phase"] == "Succeeded"  # it drained and ended with 0
    await cluster.machine.close()
    cluster.machine = cluster.home.machine(("default", "demo"))
    await cluster.until(lambda: status(cluster).get("readyReplicas") == 1)
    assert (url(cluster), await get(address)) == (address, "one")
    await cluster.machine.stop(at_once=lambda: True)
    await cluster.machine.close()


async def test_a_server_whose_port_is_taken_gets_another(cluster: Cluster):
    await serve(cluster, "one")
    (pod,) = cluster.pods()
    (process,) = processes_of(pod["metadata"]["uid"])
    port = process.environ()["TUNEWRIGHT_PORT"]
    process.kill()
    process.wait()
    with socket.create_server(("127.0.0.1", int(port))):

        def moved() -> bool:
            found = processes_of(pod["metadata"]["uid"])
            return bool(found) and found[0].environ()["TUNEWRIGHT_PORT"] != port and cluster.container(cluster.pods()[0])["ready"]

        await cluster.until(moved)
        assert await get(url(cluster)) == "one"
    assert cluster.container(cluster.pods()[0])["restartCount"] == 0  # its own fault it was not
