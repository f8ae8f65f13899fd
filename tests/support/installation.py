"""Tunewright in a cluster by `helm install`, and what may befall its operators there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo import image_values
from waiting import until

CHART = Path(__file__).resolve().parents[2] / "charts" / "tunewright"
RELEASE, NAMESPACE = "tunewright", "tunewright-system"
OPERATORS = "app.kubernetes.io/name=tunewright,app.kubernetes.io/component=operator"


class Installation:
    """One release. `images` has the references of operator, trainer and server."""

    def __init__(self, node: Any, images: Mapping[str, str]) -> None:
        self.node = node
        self.images = images
        self._options: tuple[str, ...] = ()

    def install(self, *options: str) -> None:
        """`helm upgrade --install` with these options and no others, and wait until the operators are ready."""
        self._options = options
        # The test's own clock is more patient than helm's.
        words = ["upgrade", "--install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--create-namespace", "--wait", "--timeout=8m"]
        done = self.node.helm(*words, *image_values(self.images), *options)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.node.kubectl('get', 'pods', '-A', '-o', 'wide').stdout}"

    def uninstall(self) -> None:
        """Remove the release and its CRD."""
        self.node.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")
        self.node.kubectl("delete", "crd", "finetunejobs.tunewright.io", "--ignore-not-found")

    def operators(self) -> list[Mapping[str, Any]]:
        """Return the operators' pods, without those that are leaving."""
        shown = self.node.kubectl("get", "pods", f"--namespace={NAMESPACE}", f"--selector={OPERATORS}", "-o", "json").stdout
        return [pod for pod in json.loads(shown)["items"] if "deletionTimestamp" not in pod["metadata"]]

    def kill_operator(self) -> None:
        """`kill -9` an operator as soon as one runs, and let another pod take its place at once, without the kubelet's back-off."""
        pod = until(lambda: next((pod for pod in self.operators() if is_running(pod)), None), "an operator runs")
        if self.node.own is not None:
            kill = 'for file in $(grep -ls "$1" /proc/[0-9]*/cgroup); do pid=${file#/proc/}; kill -9 "${pid%/cgroup}" || true; done'
            self.node.run("sh", "-c", kill, "kill", pod["metadata"]["uid"])
        name = pod["metadata"]["name"]
        self.node.kubectl("delete", "pod", name, f"--namespace={NAMESPACE}", "--force", "--grace-period=0")
        until(lambda: name not in [each["metadata"]["name"] for each in self.operators()], f"{name} is gone")


def is_running(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod's container has started, ready or not."""
    return any("running" in status.get("state", {}) for status in pod.get("status", {}).get("containerStatuses", ()))
