"""A whole Kubernetes of one node, on which pods run: a control plane, scheduler, containerd, kubelet, kube-proxy, CoreDNS, volumes.

Promises: pods run, Services and names resolve, claims are bound, `kubectl logs` and `exec` work; nothing a pod sends leaves the machine;
clients on this machine reach the API server, Services and pods directly (see isolation.py). Images come from archives only.
Several nodes stand beside each other. All of one ends with the process that started it: the kernel ends and unmounts what is inside its
namespaces, `stop` removes what else it has on the machine (folder, control groups), and after `kill -9` the next start does.

Needs root, Linux, and the packages that needs.py names.
"""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess, run
from typing import Any, Self

import cgroups
import containerd
import kubelet
from archives import write_image
from binaries import Programs
from certificates import make_server
from control_plane import ControlPlane, Place, sweep_control_planes
from isolation import Namespaces
from processes import PATIENCE_SECONDS, Processes, StartError
from provisioner import STORAGE_CLASS
from slots import Claim, abandoned

HERE = Path(__file__).resolve().parent
PROBE_IMAGE = "localhost/tunewright-probe:1"  # also the sandbox of every pod


class Node:
    """One node and its control plane. `kubeconfig` is an administrator's."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        sweep()
        self._claim = Claim.first_free()
        self.slot = self._claim.slot
        remove_what_is_left(self._claim)  # from before a restart of the machine, which removed the locks
        self.folder = self.slot.folder
        self.folder.mkdir(mode=0o700)
        self._outer = Processes(self.folder)  # the namespaces, whose end is the end of all that runs on the node
        self._inner = Processes(self.folder)
        self.namespaces = Namespaces(self.slot, self._outer)
        self.plane: ControlPlane | None = None
        atexit.register(self.stop)

    @property
    def kubeconfig(self) -> Path:
        return self._plane.kubeconfig

    def start(self) -> None:
        """Start everything and wait until the node is ready for pods. Raises `StartError`."""
        try:
            cgroups.make(self.slot.name)
            self._claim.note(self.namespaces.start())
            place = Place(address=self.slot.address, services=self.slot.services, enter=self.namespaces.enter_network, nodes=True)
            self.plane = ControlPlane(self.programs, place)
            self._start_containerd()
            self.plane.start()
            self._start_node()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything at once and leave nothing."""
        atexit.unregister(self.stop)
        self._outer.stop()
        self._inner.stop()
        if self.plane is not None:
            self.plane.stop()
        remove_what_is_left(self._claim)
        self._claim.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 600) -> CompletedProcess[str]:
        """Run kubectl against this cluster and no other; timeout in seconds."""
        return self._plane.kubectl(*arguments, stdin=stdin, timeout=timeout)

    def helm(self, *arguments: str, timeout: float = 600) -> CompletedProcess[str]:
        """Run helm against this cluster and no other; timeout in seconds."""
        return run_helm(self.programs.helm, self.kubeconfig, self.folder / "helm", *arguments, timeout=timeout)

    def run(self, *words: str, timeout: float = 600) -> CompletedProcess[str]:
        """Run a command on the node: in its network, among its mounts and processes."""
        return run([*self.namespaces.enter, *words], capture_output=True, text=True, check=False, timeout=timeout)

    def enforce_policies(self, program: Path) -> None:
        """Enforce NetworkPolicies on this node from now on."""
        self._run("policies", *self.policy_words(program, kubelet.NODE_NAME))

    def policy_words(self, program: Path, name: str) -> list[str]:
        """Return the words that start their program on a node of this cluster."""
        return [str(program), str(self.kubeconfig), name, self.slot.services]

    def forget_policies(self) -> None:
        """Enforce none again."""
        self._inner.end("policies")
        self.run("sh", "-ec", "iptables --flush; iptables --delete-chain; ipset destroy")

    def load_image(self, archive: Path) -> list[str]:
        """Import the images of a docker-archive or an oci-archive; return their names."""
        return containerd.load_image(self.namespaces.enter, archive)

    def log(self, program: str, *, last: int = 15) -> str:
        """Return the last lines of a program's log."""
        return self._plane.log(program, last=last) if program in self._plane.pids() else self._inner.log(program, last=last)

    @property
    def _plane(self) -> ControlPlane:
        if self.plane is None:
            raise StartError("the node is not started")
        return self.plane

    def _start_containerd(self) -> None:
        containerd.configure(self.slot, pause_image=PROBE_IMAGE)
        containerd.start(self._inner, self.namespaces.enter, self.folder / "containerd.toml")
        archive = self.folder / "probe.tar"
        write_image(archive, name=PROBE_IMAGE, program=self.programs.probe, command=["probe", "pause"])
        self.load_image(archive)
        archive.unlink()

    def _start_node(self) -> None:
        plane, slot, programs = self._plane, self.slot, self.programs
        make_server(plane.folder, "kubelet-server", f"IP:{slot.address}")
        (plane.folder / "resolv.conf").touch()
        files = {name: plane.write(f"{name}.yaml", content) for name, content in self._configurations().items()}
        corefile = plane.folder / "Corefile"
        corefile.write_text(kubelet.corefile(plane.kubeconfig, slot), encoding="utf-8")
        scheduler = plane.kubeconfig_for("system:kube-scheduler")
        own = plane.kubeconfig_for(f"system:node:{kubelet.NODE_NAME}", "system:nodes")
        self._run("kube-scheduler", str(programs.scheduler), f"--kubeconfig={scheduler}", "--leader-elect=false", "--secure-port=0")
        self._run("kubelet", str(programs.kubelet), f"--config={files['kubelet']}", *kubelet.kubelet_flags(own, slot, kubelet.NODE_NAME))
        self._run("kube-proxy", str(programs.proxy), f"--config={files['kube-proxy']}")
        self._run("coredns", str(programs.coredns), f"-conf={corefile}")
        volumes = self.folder / "volumes"
        self._inner.run("provisioner", [sys.executable, str(HERE / "provisioner.py"), str(plane.kubeconfig), str(volumes)])
        applied = self.kubectl("apply", "--server-side", "-f", str(files["storage-class"]))
        if applied.returncode:
            raise StartError(f"no storage class: {applied.stderr}")

    def _configurations(self) -> dict[str, Any]:
        proxy = self._plane.kubeconfig_for("system:kube-proxy")
        return {
            "kubelet": kubelet.kubelet(self.slot, dns=self.slot.address, certificate="kubelet-server"),
            "kube-proxy": kubelet.proxy(proxy, self.slot, kubelet.NODE_NAME),
            "storage-class": STORAGE_CLASS,
        }

    def _run(self, name: str, *words: str) -> None:
        self._inner.run(name, [*self.namespaces.enter, *words])

    def _wait_until_ready(self) -> None:
        ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        is_ready = lambda: self.kubectl("get", "node", kubelet.NODE_NAME, "-o", ready).stdout == "True"  # noqa: E731
        self._inner.wait_until(is_ready, "the node is ready", log_of="kubelet")
        kubernetes = self._plane.place.kubernetes
        self._inner.wait_until(lambda: listens(kubernetes, 443), "the Service `kubernetes` leads to the API server", log_of="kube-proxy")
        self._inner.wait_until(lambda: listens(self.slot.address, 53), "names are answered", log_of="coredns")
        account = lambda: self.kubectl("get", "serviceaccount", "default", "--namespace=default").returncode == 0  # noqa: E731
        self._inner.wait_until(account, "pods have an account", log_of="kubelet")  # its controller is slower than a quick machine's node


def run_helm(program: Path, kubeconfig: Path, home: Path, *arguments: str, timeout: float) -> CompletedProcess[str]:
    """Run helm against one cluster, with a home of its own."""
    homes = {f"HELM_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    environment = {**os.environ, **homes, "KUBECONFIG": str(kubeconfig)}
    return run([str(program), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=timeout)


def sweep() -> None:
    """Remove what nodes left behind whose process was killed."""
    for claim in abandoned():
        remove_what_is_left(claim)
        claim.release()
    sweep_control_planes()


def remove_what_is_left(claim: Claim) -> None:
    """Remove a slot's folder, groups and link once its processes are gone. Raises RuntimeError if they stay."""
    slot, deadline = claim.slot, time.monotonic() + PATIENCE_SECONDS
    pid = claim.noted()
    while pid and _is_ours(pid, slot.folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _pause(deadline, f"process {pid}, the first one of {slot.name}, does not end")
    while not cgroups.remove(slot.name):
        _pause(deadline, f"processes in the control groups {slot.name} do not end")
    while Path("/sys/class/net", slot.link).exists():
        run(["ip", "link", "delete", slot.link], capture_output=True, check=False)  # the kernel may be at it already
        _pause(deadline, f"the network device {slot.link} stays")
    while slot.folder.exists():
        shutil.rmtree(slot.folder, ignore_errors=True)  # gigabytes: may outlast the deadline; a process that is ending may still write
        if slot.folder.exists():
            _pause(deadline, f"the folder {slot.folder} cannot be removed")
    claim.note(None)


def _pause(deadline: float, why: str) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError(f"{why}, after {PATIENCE_SECONDS} s")
    time.sleep(0.02)


def listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def _is_ours(pid: int, folder: Path) -> bool:
    try:
        return os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
