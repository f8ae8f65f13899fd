"""A real server process on a free port, with its log and its termination message."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
from openai import AsyncOpenAI, OpenAI

from tunewright_contract import environment
from tunewright_contract.reports import Failure, load

PATIENCE = 120.0  # seconds until a process without output is given up; generous, because the machine is shared


@dataclass
class Server:
    """A running `python -m tunewright_server`."""

    process: subprocess.Popen[str]
    termination_log: Path
    lines: list[dict[str, Any]] = field(default_factory=list)  # its log so far
    _news: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.logged("listening")["port"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE)

    @property
    def async_openai(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=PATIENCE, **arguments)

    def metric(self, name: str) -> float:
        """Sum over all label values; 0 when nothing was counted."""
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))

    def logged(self, message: str) -> dict[str, Any]:
        """Wait for a log line. Raises with the whole log when the process ends without it."""
        with self._news:
            self._news.wait_for(lambda: self._find(message) or self.process.poll() is not None, timeout=PATIENCE)
            found = self._find(message)
        if found is None:
            raise AssertionError(f"the server never said {message!r}; it said {json.dumps(self.lines, indent=1)}")
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(timeout=PATIENCE)

    @property
    def failure(self) -> Failure:
        """Its termination message."""
        report = load(self.termination_log.read_text())
        assert isinstance(report, Failure)
        return report

    def _find(self, message: str) -> dict[str, Any] | None:
        return next((line for line in self.lines if line["message"] == message), None)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({"message": line})
                self._news.notify_all()
        self.process.wait()
        with self._news:
            self._news.notify_all()


@contextmanager
def start_server(model_dir: Path, scratch: Path, **variables: str) -> Iterator[Server]:
    """Start a server and wait for nothing; `variables` are names of `tunewright_contract.environment` and their values."""
    termination_log = scratch / "termination-log"
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TUNEWRIGHT_")},
        environment.MODEL_DIR: str(model_dir),
        environment.PORT: "0",
        environment.TERMINATION_LOG: str(termination_log),
        **{getattr(environment, name): value for name, value in variables.items()},
    }
    with subprocess.Popen([sys.executable, "-m", "tunewright_server"], env=env, stderr=subprocess.PIPE, text=True) as process:
        server = Server(process, termination_log)
        try:
            yield server
        finally:
            process.kill()


@contextmanager
def ready_server(model_dir: Path, scratch: Path, **variables: str) -> Iterator[Server]:
    """Start a server and wait until it is ready."""
    with start_server(model_dir, scratch, **variables) as server:
        server.logged("ready")
        yield server
