"""Operators that start at once: one process has imported everything (`forking_operator`), and each operator is a fork of it, a process of
its own that dies like any."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import forking_operator
from operator_process import OperatorProcess


class Nursery:
    """The process that forks."""

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, forking_operator.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(self, environment: Mapping[str, str], log: Path) -> "Forked":
        return Forked(self, self.ask({"start": dict(environment), "log": str(log)}))

    def ask(self, what: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


class Forked:
    """As much of `subprocess.Popen` as is needed."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery, self.pid = nursery, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("operator", timeout)
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # not collected yet, so no other process has this number
            os.kill(self.pid, number)


class ForkedOperator(OperatorProcess):
    """An operator out of the nursery."""

    def __init__(self, nursery: Nursery, kubeconfig: Path, namespace: str, folder: Path) -> None:
        super().__init__(kubeconfig, namespace, folder)
        self._nursery = nursery

    def _launch(self) -> Any:
        return self._nursery.start(self.environment(), self.log)


class MortalOperator(ForkedOperator):
    """An operator out of the nursery that restarts whenever it ends, as under a kubelet."""

    def __init__(self, nursery: Nursery, kubeconfig: Path, namespace: str, folder: Path) -> None:
        super().__init__(nursery, kubeconfig, namespace, folder)
        self._looking_after: threading.Thread | None = None
        self._let_go = threading.Event()
        self.starts = 0

    def environment(self) -> dict[str, str]:
        """Return its settings. Its pods' address is the same for all, so that lives can be compared."""
        return super().environment() | {"TUNEWRIGHT_PROGRESS_URL": "http://tunewright.invalid:8080"}

    def __enter__(self) -> Self:
        self._looking_after = threading.Thread(target=self._look_after, daemon=True)
        self._looking_after.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        assert self._looking_after is not None
        self._looking_after.join(timeout=60)
        self.kill()

    def kill(self) -> None:
        dying = self._process  # the next one may be here before this one is collected
        if dying is not None:
            dying.kill()
            dying.wait()

    def _look_after(self) -> None:
        while not self._let_go.wait(0.02):
            if self.ended():
                self._process = self._launch()
                self.starts += 1


class Elected(MortalOperator):
    """One as the chart's Deployment runs it: with a Lease."""

    def environment(self) -> dict[str, str]:
        mine = {"LEADER_ELECTION": "true", "POD_NAME": "tunewright-0", "POD_NAMESPACE": self.namespace}
        return super().environment() | {f"TUNEWRIGHT_{name}": value for name, value in mine.items()}

    def pauses(self) -> int:
        """Return how often it could not renew its Lease, and stopped writing."""
        return self.log.read_text().count("cannot be renewed: writes stop")
