"""The operator as its own process against an API server, as a pod would run it: started, asked how it is, stopped, killed."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from control_plane import free_ports
from waiting import PATIENCE_SECONDS, until


def kubeconfig_of_its_own(cluster: Any, namespace: str) -> Path:
    """Return an administrator's, by whose name the audit log tells an operator from others. A cluster that is not ours has one for all."""
    return cluster.plane.kubeconfig_for(f"operator-of-{namespace}", "system:masters") if cluster.plane else cluster.kubeconfig


class OperatorProcess:
    """One operator of one namespace, with the identity of `kubeconfig`."""

    def __init__(self, kubeconfig: Path, namespace: str, folder: Path) -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self.log = folder / "operator.log"
        self.health_port, self.progress_port = free_ports(2)
        self._process: Any = None  # a subprocess.Popen, or what acts like one

    @property
    def user(self) -> str:
        """Its user name at the API server, if the tests made the kubeconfig."""
        return str(json.loads(self.kubeconfig.read_text())["users"][0]["name"])

    def start(self, *, patience: float = PATIENCE_SECONDS) -> Self:
        """Start it and wait until it is ready."""
        self._process = self._launch()
        until(lambda: self.ended() or self.get("/readyz") == 200, "the operator is ready", patience=patience)
        assert not self.ended(), self.log.read_text()
        return self

    def environment(self) -> dict[str, str]:
        """Return its settings."""
        return os.environ | {
            "KUBECONFIG": str(self.kubeconfig),
            "TUNEWRIGHT_NAMESPACES": self.namespace,
            "TUNEWRIGHT_HEALTH_PORT": str(self.health_port),
            "TUNEWRIGHT_PROGRESS_PORT": str(self.progress_port),
            "TUNEWRIGHT_PROGRESS_URL": f"http://127.0.0.1:{self.progress_port}",
        }

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if not self.ended():
            self.kill()

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def stop(self) -> int:
        """Ask it to end, as the kubelet does. Returns its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=30)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def text(self, path: str) -> str:
        """Return a probe's answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def get(self, path: str) -> int:
        """Return the status of a probe's answer; 0 without an answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def reconciles(self, result: str = "ok") -> float:
        """Return how many reconciles have ended that way."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/metrics", timeout=PATIENCE_SECONDS) as answer:
            found = re.search(rf'tunewright_reconciles_total{{result="{result}"}} (\S+)', answer.read().decode())
        return float(found[1]) if found else 0.0

    def metric(self, name: str) -> float:
        """Return a metric without labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/metrics", timeout=PATIENCE_SECONDS) as answer:
            found = re.search(rf"^{name} (\S+)", answer.read().decode(), flags=re.MULTILINE)
        return float(found[1]) if found else 0.0

    def _launch(self) -> Any:
        with self.log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "tunewright.shell"], env=self.environment(), stdout=log, stderr=log)
