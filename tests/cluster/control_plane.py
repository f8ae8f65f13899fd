"""A Kubernetes control plane of one's own, without root: etcd, kube-apiserver and kube-controller-manager as processes of this machine.

Promises: everything listens on 127.0.0.1 on free ports; keys, data and logs lie in one temporary folder; RBAC and an audit log are on.
There is no node: Jobs make pods, and the pods stay Pending (node.py puts one under it, at another `Place`). All of it ends with the process
that started it, however that ends (processes.py); after `kill -9` the next start sweeps the folder.
etcd has no TLS on its loopback port, which is acceptable for tests only.
"""

import atexit
import contextlib
import http.client
import ipaddress
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from audit import POLICY, AuditLog
from binaries import Programs
from certificates import make_authority, make_client, make_server
from processes import Processes, StartError

__all__ = ["ControlPlane", "Place", "StartError", "free_ports", "run_kubectl", "sweep_control_planes"]

PREFIX = "tunewright-cluster-"
ADMIN, CONTROLLERS = "admin", "system:kube-controller-manager"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a control plane stands: its address, its Services' addresses, and the words that bring a command there.

    With `nodes` the API server connects to kubelets, for `kubectl logs` and `exec`, and is the endpoint of the Service `kubernetes`.
    """

    address: str = "127.0.0.1"
    services: str = "10.0.0.0/24"
    enter: tuple[str, ...] = ()
    nodes: bool = False

    @property
    def kubernetes(self) -> str:
        """The address of the Service `kubernetes`."""
        return str(ipaddress.ip_network(self.services)[1])


class ControlPlane:
    """One control plane. `kubeconfig` has an administrator's client certificate."""

    def __init__(self, programs: Programs, place: Place | None = None) -> None:
        self.programs = programs
        self.place = place or Place()
        sweep_control_planes()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))  # readable by its owner only: there are keys in it
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.port, self._etcd_port, self._peer_port = free_ports(3)
        self.url = f"https://{self.place.address}:{self.port}"
        self.audit = AuditLog(self.folder / "audit.log")
        self._processes = Processes(self.folder)
        atexit.register(self.stop)

    def start(self) -> None:
        """Start everything and wait until the API server serves. Raises `StartError`."""
        try:
            self._prepare()
            self._run("etcd", _etcd(self.programs.etcd, self._etcd_port, self._peer_port))
            self._run("kube-apiserver", _apiserver(self.programs.apiserver, self.place, self.port, self._etcd_port))
            self._wait_until_ready()
            self._run("kube-controller-manager", _controllers(self.programs.controller_manager))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything at once and remove the folder."""
        self._processes.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def restart(self, program: str) -> None:
        """Kill one program and start it again, and wait until the API server serves."""
        self._processes.restart(program)
        self._wait_until_ready()

    def pids(self) -> Mapping[str, int]:
        """Return the process of each program."""
        return self._processes.pids()

    def log(self, program: str, *, last: int = 15) -> str:
        """Return the last lines of a program's log."""
        return self._processes.log(program, last=last)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run kubectl against this control plane and no other; timeout in seconds."""
        return run_kubectl(self.programs.kubectl, self.kubeconfig, *arguments, stdin=stdin, timeout=timeout)

    def kubeconfig_for(self, user: str, *groups: str) -> Path:
        """Write a kubeconfig with a client certificate of this user and these groups; RBAC determines their rights."""
        name = user.replace(":", "-")
        make_client(self.folder, name, user=user, groups=groups)
        return self.write(f"{name}.kubeconfig", _kubeconfig(self.url, name))

    def write(self, name: str, content: Any) -> Path:
        """Write a configuration file into the folder."""
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
        return path

    def _prepare(self) -> None:
        make_authority(self.folder)
        addresses = dict.fromkeys(["127.0.0.1", self.place.address, self.place.kubernetes])
        names = ["localhost", "kubernetes.default.svc"]
        make_server(self.folder, "apiserver", ",".join([*(f"IP:{one}" for one in addresses), *(f"DNS:{name}" for name in names)]))
        self.kubeconfig_for(ADMIN, "system:masters")
        self.kubeconfig_for(CONTROLLERS)
        self.write("audit-policy.yaml", POLICY)

    def _run(self, name: str, command: list[str]) -> None:
        self._processes.run(name, [*self.place.enter, *command])

    def _wait_until_ready(self) -> None:
        trust = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        trust.load_cert_chain(self.folder / f"{ADMIN}.crt", self.folder / f"{ADMIN}.key")
        ready = lambda: _answers(self.place.address, self.port, trust)  # noqa: E731
        self._processes.wait_until(ready, "the API server is ready", log_of="kube-apiserver")


def run_kubectl(
    program: Path | str, kubeconfig: Path, *arguments: str, stdin: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run kubectl against one cluster, whatever the caller's environment is."""
    command = [str(program), f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent / 'kubectl-cache'}", *arguments]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 on which nothing listens now.

    Where there is room, they lie below the range from which the kernel takes ports for outgoing connections: no connection can then take
    one before its program binds it.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    choice = range(10_000, ephemeral) if ephemeral > 20_000 else range(10_000, 65_536)
    found: list[int] = []
    for port in random.sample(choice, len(choice)):
        if len(found) == count:
            return found
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    raise StartError(f"fewer than {count} ports of {choice} are free on 127.0.0.1")


def sweep_control_planes() -> None:
    """Remove the folders of control planes whose process was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)  # another user's: theirs to remove


def _answers(address: str, port: int, trust: ssl.SSLContext) -> bool:
    connection = http.client.HTTPSConnection(address, port, timeout=5, context=trust)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _kubeconfig(url: str, name: str) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": "ca.crt"}}],
        "users": [{"name": name, "user": {"client-certificate": f"{name}.crt", "client-key": f"{name}.key"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": "default"}}],
        "current-context": "test",
    }


def _flags(program: Path, options: Mapping[str, str]) -> list[str]:
    return [str(program), *(f"--{name}={value}" for name, value in options.items())]


def _etcd(program: Path, port: int, peer_port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return _flags(
        program,
        {
            "data-dir": "etcd",
            "unsafe-no-fsync": "true",  # the data is deleted with the process anyway
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "log-level": "warn",
        },
    )


def _apiserver(program: Path, place: Place, port: int, etcd_port: int) -> list[str]:
    options = {
        "etcd-servers": f"http://127.0.0.1:{etcd_port}",
        "bind-address": place.address,
        "advertise-address": place.address,
        "endpoint-reconciler-type": "none",  # a loopback address is not allowed in the Service `kubernetes`, and there are no pods to use it
        "secure-port": str(port),
        "tls-cert-file": "apiserver.crt",
        "tls-private-key-file": "apiserver.key",
        "client-ca-file": "ca.crt",
        "authorization-mode": "Node,RBAC",
        "service-cluster-ip-range": place.services,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": "sa.pub",
        "service-account-signing-key-file": "sa.key",
        "audit-policy-file": "audit-policy.yaml",
        "audit-log-path": "audit.log",
        "audit-log-mode": "blocking",  # who has an answer finds the request in the log
        "profiling": "false",
        # Policies that change objects; off by default until they are stable.
        "feature-gates": "MutatingAdmissionPolicy=true",
        "runtime-config": "admissionregistration.k8s.io/v1beta1=true",
        "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",  # some clusters have it; a node is as most are
    }
    if place.nodes:
        options |= {
            "endpoint-reconciler-type": "lease",
            "enable-admission-plugins": "NodeRestriction",
            "kubelet-client-certificate": f"{ADMIN}.crt",
            "kubelet-client-key": f"{ADMIN}.key",
            "kubelet-certificate-authority": "ca.crt",
            "kubelet-preferred-address-types": "InternalIP",  # the node's name resolves nowhere
        }
    return _flags(program, options)


def _controllers(program: Path) -> list[str]:
    return _flags(
        program,
        {
            "kubeconfig": f"{CONTROLLERS.replace(':', '-')}.kubeconfig",
            "leader-elect": "false",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": "sa.key",
            "root-ca-file": "ca.crt",
            "secure-port": "0",  # it serves no client
            "profiling": "false",
        },
    )
