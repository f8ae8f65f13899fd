"""A Kubernetes control plane of one's own, without root: etcd, kube-apiserver and kube-controller-manager as processes of this machine.

Promises: everything listens on 127.0.0.1 on free ports; keys, data and logs lie in one temporary folder; RBAC and an audit log are on.
There is no node: Jobs make pods, and the pods stay Pending. All of it ends with the process that started it, however that ends: `stop`,
the end of the `with`, the interpreter's end, and after `kill -9` the kernel ends the programs (PR_SET_PDEATHSIG) and the next start sweeps the folder.
etcd speaks without TLS on its loopback port: fit for tests, and for nothing else.

Start it from a thread that lives as long as it is needed: the kernel counts the thread's end as the parent's.
"""

import atexit
import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from audit import POLICY, AuditLog
from binaries import Programs
from certificates import make_authority, make_client, make_server

PREFIX = "tunewright-cluster-"
PATIENCE_SECONDS = 120  # a start takes five; a machine under load may take many times that
ADMIN, CONTROLLERS = "admin", "system:kube-controller-manager"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class StartError(Exception):
    """A program ended or was not ready in time; the text has the end of its log."""


class ControlPlane:
    """One control plane. `kubeconfig` has an administrator's client certificate."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))  # readable by its owner only: there are keys in it
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.port, self._etcd_port, self._peer_port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        self.audit = AuditLog(self.folder / "audit.log")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        atexit.register(self.stop)

    def start(self) -> None:
        """Start everything and wait until the API server serves. Raises `StartError`."""
        try:
            self._prepare()
            self._run("etcd", _etcd(self.programs.etcd, self._etcd_port, self._peer_port))
            self._run("kube-apiserver", _apiserver(self.programs.apiserver, self.port, self._etcd_port))
            self._wait_until_ready()
            self._run("kube-controller-manager", _controllers(self.programs.controller_manager))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything at once and remove the folder. There is nothing to save, so nobody is asked politely."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pids(self) -> Mapping[str, int]:
        """Return the process of each program."""
        return {name: process.pid for name, process in self._processes.items()}

    def log(self, program: str, *, last: int = 15) -> str:
        """Return the last lines of a program's log."""
        return "\n".join((self.folder / f"{program}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-last:])

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl against this control plane and no other."""
        return run_kubectl(self.programs.kubectl, self.kubeconfig, *arguments, stdin=stdin)

    def kubeconfig_for(self, user: str, *groups: str) -> Path:
        """Write a kubeconfig with a client certificate of this user and these groups; RBAC says what they may."""
        name = user.replace(":", "-")
        make_client(self.folder, name, user=user, groups=groups)
        return self._write(f"{name}.kubeconfig", _kubeconfig(self.url, name))

    def _prepare(self) -> None:
        make_authority(self.folder)
        make_server(self.folder, "apiserver", "IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc")
        self.kubeconfig_for(ADMIN, "system:masters")
        self.kubeconfig_for(CONTROLLERS)
        self._write("audit-policy.yaml", POLICY)

    def _write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
        return path

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at a person's terminal is not meant for them
                preexec_fn=_ends_with(os.getpid()),  # noqa: PLW1509 - one system call, which takes no lock
            )

    def _wait_until_ready(self) -> None:
        trust = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        trust.load_cert_chain(self.folder / f"{ADMIN}.crt", self.folder / f"{ADMIN}.key")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(self.port, trust):
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise StartError(f"{name} ended with code {process.returncode}:\n{self.log(name)}")
            if time.monotonic() > deadline:
                raise StartError(f"the API server is not ready after {PATIENCE_SECONDS} s:\n{self.log('kube-apiserver')}")
            time.sleep(0.1)


def run_kubectl(program: Path | str, kubeconfig: Path, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run kubectl against one cluster, whatever the caller's environment says."""
    command = [str(program), f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent / 'kubectl-cache'}", *arguments]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 on which nobody listens now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def sweep() -> None:
    """Remove the folders of control planes whose process was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)  # another user's: theirs to remove


def _ends_with(parent: int) -> Any:
    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the tie held
            os._exit(1)

    return tie


def _answers(port: int, trust: ssl.SSLContext) -> bool:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=trust)
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
            "unsafe-no-fsync": "true",  # the data dies with the process anyway
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "log-level": "warn",
        },
    )


def _apiserver(program: Path, port: int, etcd_port: int) -> list[str]:
    return _flags(
        program,
        {
            "etcd-servers": f"http://127.0.0.1:{etcd_port}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",  # a loopback address is not allowed in the Service `kubernetes`, and there are no pods to use it
            "secure-port": str(port),
            "tls-cert-file": "apiserver.crt",
            "tls-private-key-file": "apiserver.key",
            "client-ca-file": "ca.crt",
            "authorization-mode": "Node,RBAC",
            "service-cluster-ip-range": "10.0.0.0/24",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": "sa.pub",
            "service-account-signing-key-file": "sa.key",
            "audit-policy-file": "audit-policy.yaml",
            "audit-log-path": "audit.log",
            "audit-log-mode": "blocking",  # who has an answer finds the request in the log
            "profiling": "false",
        },
    )


def _controllers(program: Path) -> list[str]:
    return _flags(
        program,
        {
            "kubeconfig": f"{CONTROLLERS.replace(':', '-')}.kubeconfig",
            "leader-elect": "false",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": "sa.key",
            "root-ca-file": "ca.crt",
            "secure-port": "0",  # it serves nobody
            "profiling": "false",
        },
    )
