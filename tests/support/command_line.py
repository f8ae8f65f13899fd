"""The real `tunewright` as a process, in a home and a folder of its own, with the shipped base model and the quickstart's data."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("tunewright")
PATIENCE_SECONDS = 420  # a limit for a machine that is busy with other things, not an expectation
LOOK_SECONDS = 0.05


class Workplace:
    """A folder with base model, data and manifest, and a home beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.base = folder / "base-model" / "model"
        self.data = folder / "data"
        shutil.copytree(ROOT / "examples" / "base-model" / "model", self.base)
        self.data.mkdir()
        for path in (ROOT / "examples" / "data").glob("*.jsonl"):
            shutil.copy(path, self.data)
        self.manifest = folder / "job.yaml"

    def write(self, change: Callable[[dict[str, Any]], None], example: str = "quickstart") -> None:
        """Write an example's manifest with some of its spec changed."""
        job = YAML(typ="safe", pure=True).load((ROOT / "examples" / f"{example}.yaml").read_text())
        change(job["spec"])
        self.manifest.write_text(json.dumps(job, indent=2))  # JSON is YAML

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TUNEWRIGHT_HOME": str(self.home), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}

    def tunewright(self, *arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            input=typed,
            stdin=subprocess.DEVNULL if typed is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def start(self, *arguments: str) -> "Started":
        """Start one command."""
        return Started(self, arguments)

    def left_running(self) -> list[psutil.Process]:
        """Return every process that works for this home: its pods, their shims, the command itself."""
        return [process for process in psutil.process_iter() if process.pid != os.getpid() and self._works_here(process)]

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the processes of this home whose command line and environment mention all words."""
        return [process for process in self.left_running() if all(word in _described(process) for word in words)]

    def kill_everything(self) -> None:
        for process in self.left_running():
            with_nothing_to_say(process.kill)

    def made(self, pattern: str) -> list[Path]:
        """Return the files of a name in the job's volumes, while trainers can rename and remove folders there."""
        walked = os.walk(self.home / "volumes" / "default")  # unlike rglob, it passes over a folder that is gone before its turn
        files = (Path(folder, name) for folder, _, names in walked for name in names)
        return sorted(file for file in files if file.match(pattern))

    def _works_here(self, process: psutil.Process) -> bool:
        return str(self.home) in _described(process)


class Started:
    """A command that runs in the background; what it prints is in files."""

    def __init__(self, place: Workplace, arguments: tuple[str, ...]) -> None:
        self._out, self._err = place.folder / "stdout", place.folder / "stderr"
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen(
                [COMMAND, *arguments], cwd=place.folder, env=place.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def output(self) -> str:
        return self._out.read_text() + self._err.read_text()

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until something holds while the command runs, and return what it gave. Fails with the output if it ends before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            assert self._process.poll() is None, f"ended with {self._process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, self.output
            time.sleep(LOOK_SECONDS)
        return found

    def send(self, number: signal.Signals) -> int:
        """Send a signal and return how the command ended."""
        self._process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Return how the command ended, once it has."""
        return self._process.wait(PATIENCE_SECONDS)


def with_nothing_to_say(action: Callable[[], Any]) -> None:
    """Do something to a process that may be gone already."""
    try:
        action()
    except psutil.NoSuchProcess:
        return


def _described(process: psutil.Process) -> str:
    try:
        return "\n".join([*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())])
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return ""
