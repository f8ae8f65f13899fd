"""A second node for a cluster that runs, in namespaces of its own, and the ways in which a node fails and comes back.

Promises: pods run on it; Services, names, `kubectl logs` and `exec` work from and on both nodes; a pod's traffic to the other node takes one
link between the two namespaces, and nothing leaves the machine. The images are those that the first node has when this one starts.
Only this node can fail: the control plane and CoreDNS are in the network of the first.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from subprocess import CompletedProcess, run
from typing import Self

import cgroups
import clone
import containerd
import kubelet
from certificates import make_server
from isolation import Namespaces, command
from node import PROBE_IMAGE, Node, remove_what_is_left
from processes import PATIENCE_SECONDS, Processes, StartError
from slots import Claim

NAME = "node-2"
_READY = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'


class SecondNode:
    """The node `node-2` beside a `Node`. Leaving the context removes it from the cluster and the machine."""

    name = NAME

    def __init__(self, first: Node, *, policies: Path | None = None) -> None:
        """`policies`: the program that enforces NetworkPolicies here (enforcement.py); None: nothing does."""
        self.first = first
        self._policies = policies
        self._claim = Claim.first_free()
        self.slot = self._claim.slot
        remove_what_is_left(self._claim)
        self.slot.folder.mkdir(mode=0o700)
        self._outer, self._inner = Processes(self.slot.folder), Processes(self.slot.folder)
        self.namespaces = Namespaces(self.slot, self._outer)
        self._link = f"{self.slot.link}-to"

    def __enter__(self) -> Self:
        try:
            clone.clone_images(self.first.slot, self.slot)
            self._configure()
            self._start_namespaces()
            self._forget_containers()
            self._start_programs()
            self.wait_until_ready()
            self.enforce_policies()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()
        remove_what_is_left(self._claim)
        self._claim.release()
        self.first.kubectl("delete", "node", NAME, "--ignore-not-found", "--timeout=60s")

    def run(self, *words: str, timeout: float = 600) -> CompletedProcess[str]:
        """Run a command on the node: in its network, among its mounts and processes."""
        return run([*self.namespaces.enter, *words], capture_output=True, text=True, check=False, timeout=timeout)

    def is_ready(self) -> bool:
        """Return whether Kubernetes takes the node for ready."""
        return self.first.kubectl("get", "node", NAME, "-o", _READY).stdout == "True"

    def wait_until_ready(self) -> None:
        """Wait for it. Raises `StartError`."""
        self._inner.wait_until(self.is_ready, f"{NAME} is ready", log_of="kubelet")

    def freeze_kubelet(self) -> None:
        """Stop the kubelet without ending it. Its pods go on."""
        self._signal_kubelet(signal.SIGSTOP)

    def thaw_kubelet(self) -> None:
        """Let it go on."""
        self._signal_kubelet(signal.SIGCONT)

    def cut_link(self) -> None:
        """Cut the link to the other node, and so to the API server."""
        command(*self.first.namespaces.enter_network, "ip", "link", "set", self._link, "down")

    def restore_link(self) -> None:
        """Put it back."""
        command(*self.first.namespaces.enter_network, "ip", "link", "set", self._link, "up")
        self._route()

    def power_off(self) -> None:
        """End everything that runs on the node at once; its disk stays."""
        self._outer.stop()
        self._inner.stop()

    def power_on(self) -> None:
        """Start it again with what is on its disk. Raises `StartError`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not cgroups.remove(self.slot.name) or Path("/sys/class/net", self.slot.link).exists():
            if time.monotonic() > deadline:
                raise StartError(f"what ran on {NAME} does not end")
            time.sleep(0.05)
        self._start_namespaces()
        self._start_programs()
        self.enforce_policies()

    def _configure(self) -> None:
        plane = self.first.plane
        if plane is None:
            raise StartError("the first node is not started")
        containerd.configure(self.slot, pause_image=PROBE_IMAGE)
        make_server(plane.folder, NAME, f"IP:{self.slot.address}")
        proxy = plane.kubeconfig_for("system:kube-proxy")
        own = plane.kubeconfig_for(f"system:node:{NAME}", "system:nodes")
        settings = {
            "kubelet": kubelet.kubelet(self.slot, dns=self.first.slot.address, certificate=NAME),
            "kube-proxy": kubelet.proxy(proxy, self.slot, NAME),
        }
        files = {program: plane.write(f"{program}-{NAME}.yaml", content) for program, content in settings.items()}
        programs = self.first.programs
        self._programs = {
            "kubelet": [str(programs.kubelet), f"--config={files['kubelet']}", *kubelet.kubelet_flags(own, self.slot, NAME)],
            "kube-proxy": [str(programs.proxy), f"--config={files['kube-proxy']}"],
        }

    def _start_namespaces(self) -> None:
        (self.slot.folder / "namespaces.pid").unlink(missing_ok=True)
        cgroups.make(self.slot.name)
        self._claim.note(self.namespaces.start())
        ends = ["ip", "link", "add", self._link, "type", "veth", "peer", "name", "to-first", "netns", str(self.namespaces.pid)]
        command(*self.first.namespaces.enter_network, *ends)
        command(*self.first.namespaces.enter_network, "ip", "link", "set", self._link, "up")
        command(*self.namespaces.enter_network, "ip", "link", "set", "to-first", "up")
        self._route()

    def _route(self) -> None:
        """Lead each node's traffic for the other, and its answers to the machine through the first, over the link between them."""
        first, second = self.first.slot, self.slot
        here, there = self.namespaces.enter_network, self.first.namespaces.enter_network
        for enter, device, own, other, beyond in (
            (there, self._link, first, second, [second.pods]),
            (here, "to-first", second, first, [first.pods, first.machine_address]),
        ):
            command(*enter, "ip", "route", "replace", other.address, "dev", device, "src", own.address)
            for addresses in beyond:
                command(*enter, "ip", "route", "replace", addresses, "via", other.address, "dev", device, "onlink")

    def _forget_containers(self) -> None:
        bare = clone.without_kubernetes(self.slot.folder / "containerd.toml")
        containerd.start(self._inner, self.namespaces.enter, bare)
        clone.forget_containers(self.namespaces.enter)
        self._inner.stop()

    def _start_programs(self) -> None:
        containerd.start(self._inner, self.namespaces.enter, self.slot.folder / "containerd.toml")
        for name, words in self._programs.items():
            self._inner.run(name, [*self.namespaces.enter, *words])

    def enforce_policies(self) -> None:
        """Enforce NetworkPolicies on this node. It has to be known to the API server."""
        if self._policies:
            self._inner.run("policies", [*self.namespaces.enter, *self.first.policy_words(self._policies, NAME)])

    def _signal_kubelet(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._inner.pids()["kubelet"], number)
