"""Who sets the number of servers, on a real API server with its real HorizontalPodAutoscaler and Deployment controllers.

There are no metrics: an autoscaler whose `minReplicas` is above the present number scales at once. KEDA is simulated by updates of the
Deployment's `/scale` under its field manager. The kubelet is played.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scene import JOB
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

DEPLOYMENT = ("apps/v1", "Deployment", "bot-serve")


class Servers:
    """A job that serves with one server, and everything that can set their number."""

    def __init__(self, scene: Any, control_plane: Any, **serving: Any) -> None:
        self.scene, self._plane = scene, control_plane
        self._jobs = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
        self._deployments = scene.api.dynamic.resources.get(api_version="apps/v1", kind="Deployment")
        scene.create_job(serving={"replicas": 1, **serving})
        scene.kubelet.end("checker", CHECKED)
        scene.kubelet.end("trainer", TRAINED, count=2)
        scene.kubelet.end("exporter", EXPORTED)
        scene.kubelet.serve()
        scene.reaches("Serving")
        self._since = scene.audit.end()

    def number(self) -> int:
        return int(self.scene.get(*DEPLOYMENT)["spec"]["replicas"])

    def kubectl(self, *words: str) -> str:
        done = self._plane.kubectl(*words, f"--namespace={self.scene.namespace}")
        return str(done.stdout + done.stderr)

    def scale_as(self, manager: str, replicas: int) -> None:
        """Update the Deployment's /scale under a field manager."""
        body = {"spec": {"replicas": replicas}}
        self._deployments.scale.patch(
            name="bot-serve",
            namespace=self.scene.namespace,
            body=body,
            content_type="application/merge-patch+json",
            field_manager=manager,
        )

    def start_autoscaler(self, least: int) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bot-serve"}
        spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": 9}
        hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "bot"}, "spec": spec}
        made = self.scene.api.apply(hpa, self.scene.namespace, keep=True)
        assert made.accepted, made.message

    def stop_autoscaler(self) -> None:
        self.scene.api.delete("autoscaling/v2", "HorizontalPodAutoscaler", "bot", self.scene.namespace)

    def change(self, **serving: Any) -> None:
        patch = {"spec": {"serving": serving}}
        self._jobs.patch(name="bot", namespace=self.scene.namespace, body=patch, content_type="application/merge-patch+json")

    def settle(self, count: int) -> None:
        """Let this number of servers be ready, and wait until status counts them."""
        self.scene.kubelet.serve(count=count) if count else None
        until(lambda: self.scene.status()["serving"]["readyReplicas"] == count, f"{count} servers are ready")

    def patch_number(self, replicas: int) -> None:
        """Follow the way out of the warning."""
        self.kubectl("patch", "deployment/bot-serve", "--type=merge", f'--patch={{"spec":{{"replicas":{replicas}}}}}')

    def has_its_own_number(self) -> None:
        until(lambda: self.number() == 1, "the operator sets the job's number again")
        until(lambda: "has no effect" not in str(self.scene.status().get("warnings")), "the warning is gone")

    def writes(self, kind: str) -> Sequence[str]:
        return [write for write in self.scene.writes(self._since) if f"/{kind}" in write]

    def events(self, reason: str) -> Sequence[Mapping[str, Any]]:
        return [event for event in self.scene.api.list("v1", "Event", self.scene.namespace) if event["reason"] == reason]


def ready_since(scene: Any) -> tuple[str, str]:
    found = next(one for one in scene.status()["conditions"] if one["type"] == "Ready")
    return found["status"], found["lastTransitionTime"]


def test_an_autoscaler_of_the_deployment_sets_the_number(scene: Any, control_plane: Any) -> None:
    servers = Servers(scene, control_plane)
    ready = ready_since(scene)
    servers.start_autoscaler(3)
    until(lambda: servers.number() == 3, "the autoscaler has set its least number")
    scene.kubelet.wait_for("server", 3)
    for mark in ("1", "2"):
        scene.look_again(mark, "server")  # while two of three servers start
        assert scene.status()["phase"] == "Serving"
    servers.settle(3)
    assert ready_since(scene) == ready  # not even for a moment
    assert servers.writes("deployments") == []
    assert len(servers.writes("poddisruptionbudgets")) == 1  # created with the second server
    assert len(servers.writes("finetunejobs")) <= 5  # the numbers of ready servers, and the warning
    assert [one for one in scene.status()["warnings"] if "a HorizontalPodAutoscaler (field manager kube-controller-manager)" in one]

    servers.change(maxConcurrentRequests=4)  # a write of the whole Deployment keeps the number
    until(lambda: servers.writes("deployments"), "the operator has written the Deployment")
    assert (servers.number(), len(servers.writes("deployments"))) == (3, 1)

    # The way out of the warning.
    servers.stop_autoscaler()
    servers.patch_number(4)
    servers.has_its_own_number()


def test_keda_scales_to_zero_and_back(scene: Any, control_plane: Any) -> None:
    servers = Servers(scene, control_plane)
    ready = ready_since(scene)
    for number in (0, 1, 2, 0, 1):
        servers.scale_as("keda-operator", number)
        until(lambda number=number: len(scene.kubelet.pods("server")) == number, f"there are {number} servers")
        for mark in ("a", "b") if number else ():
            scene.look_again(f"{mark}{number}", "server")
        servers.settle(number)
        assert (servers.number(), scene.status()["phase"]) == (number, "Serving"), scene.get(*DEPLOYMENT)["metadata"]["managedFields"]
        until(lambda: any("has no effect: KEDA" in warning for warning in scene.status()["warnings"]), "status reports it")
    assert ready_since(scene) == ready
    assert (servers.writes("deployments"), servers.events("ReplicasReverted")) == ([], [])

    servers.scale_as("keda-operator", 2)
    until(lambda: len(scene.kubelet.pods("server")) == 2, "there are 2 servers")
    servers.change(maxConcurrentRequests=4)
    until(lambda: servers.writes("deployments"), "the operator has written the Deployment")
    scene.look_again("c", "server")
    assert servers.number() == 2
    assert len(servers.writes("deployments")) <= 2  # the first can meet a newer version of the Deployment
    servers.patch_number(4)  # the way out
    servers.has_its_own_number()


def test_people_scale_the_job_and_not_its_deployment(scene: Any, control_plane: Any) -> None:
    servers = Servers(scene, control_plane)
    ready = ready_since(scene)
    servers.kubectl("scale", "deployment/bot-serve", "--replicas=4")
    (event,) = until(lambda: servers.events("ReplicasReverted"), "an Event reports it")
    assert (event["type"], servers.number()) == ("Warning", 1)
    assert "kubectl set 4, and the operator set it back to 1" in event["message"]
    assert "kubectl scale ftj/bot --replicas=4" in event["message"]
    servers.kubectl("scale", "ftj/bot", "--replicas=4")  # the way out
    until(lambda: servers.number() == 4, "the Deployment follows the job")
    servers.settle(4)
    assert (scene.status()["phase"], ready_since(scene)) == ("Serving", ready)
    assert len(servers.events("ReplicasReverted")) == 1
    # The other way out: the number is left to what scales the Deployment.
    servers.change(autoscaling={})
    servers.kubectl("scale", "deployment/bot-serve", "--replicas=2")
    until(lambda: len(scene.kubelet.pods("server")) == 2, "two servers are left")
    scene.look_again("1", "server")
    assert servers.number() == 2
    assert len(servers.events("ReplicasReverted")) == 1


def test_scaling_a_job_without_a_server_names_the_way_out(scene: Any, control_plane: Any) -> None:
    def kubectl(*words: str, stdin: str | None = None) -> str:
        done = control_plane.kubectl(*words, f"--namespace={scene.namespace}", stdin=stdin)
        return str(done.stdout + done.stderr)

    scene.create_job()
    said = kubectl("scale", "ftj/bot", "--replicas=2")
    assert "the job has no server to scale. Add `serving: {}` to the job first" in said
    assert "no such key" not in said
    assert "patched" in kubectl("patch", "ftj/bot", "--type=merge", '--patch={"spec": {"serving": {}}}')
    assert "scaled" in kubectl("scale", "ftj/bot", "--replicas=2")
    assert scene.get(*JOB, "bot")["spec"]["serving"]["replicas"] == 2
