"""Real training runs for tests: a workspace on disk, the command a pod runs, and what it left behind.

`launch` starts `python -m tunewright_trainer launch` as a pod does. `WarmGang` keeps one process with everything imported and forks the
ranks from it: the same `train` stage in as many real processes, without 15 seconds of imports for each.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

from control_plane import free_ports

from tunewright_contract import environment
from tunewright_contract.reports import Report, load

PATIENCE = 300  # seconds; beyond it a run hangs


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, map by map; None takes a key out."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return result


def job(**changes: Any) -> dict[str, Any]:
    """A TrainerConfig as JSON: LoRA on chat data, one process, plain data parallelism. `changes` are laid over it."""
    config = {
        "job": {"namespace": "default", "name": "tiny", "uid": "u-1", "revision": "r-1"},
        "task": "ChatCompletion",
        "model": {"dtype": "float32"},
        "data": {"train": [{"path": "corpus/train.jsonl"}], "maxLength": 128},
        "method": {"tuner": "lora", "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}},
        "training": {
            "max_steps": 6,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_strategy": "no",
            "seed": 7,
            "gradient_checkpointing": False,
            "bf16": False,
        },
        "worldSize": 1,
    }
    return merged(config, changes)


def deepspeed(stage: int, **zero: Any) -> dict[str, Any]:
    """A DeepSpeed configuration as the operator writes it."""
    return {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "zero_optimization": {
            "stage": stage,
            "overlap_comm": False,
            "reduce_bucket_size": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
            **zero,
        },
    }


def write_chat(path: Path, samples: int) -> None:
    """Write `samples` short conversations, all different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"{n} it is"}]} for n in range(samples)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass
class Workspace:
    """The folders of one job, and what its stages left in them."""

    root: Path
    model: Path

    def __post_init__(self) -> None:
        write_chat(self.data / "corpus" / "train.jsonl", 48)
        write_chat(self.data / "corpus" / "validation.jsonl", 6)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def checkpoints(self) -> list[str]:
        return sorted((path.name for path in (self.output / "checkpoints").glob("checkpoint-*")), key=lambda name: int(name.split("-")[1]))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.output / "metrics.jsonl").read_text().splitlines()]

    def losses(self) -> dict[int, float]:
        return {line["step"]: line["loss"] for line in self.metrics if "loss" in line}

    def environment(self, config: dict[str, Any], *, pod: str = "pod") -> dict[str, str]:
        """Write the configuration and name the folders, as the operator does for a pod."""
        folder = self.root / pod
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        return {
            environment.CONFIG: str(folder / "config.json"),
            environment.MODEL_DIR: str(self.model),
            environment.DATA_DIR: str(self.data),
            environment.OUTPUT_DIR: str(self.output),
            environment.TERMINATION_LOG: str(folder / "termination-log"),
        }

    def report(self, pod: str = "pod") -> Report:
        return load((self.root / pod / "termination-log").read_text())


def free_port() -> int:
    """A port that was free a moment ago."""
    return free_ports(1)[0]


@dataclass
class Pod:
    """A started pod: its process, its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the pod hangs; its log ends with\n{self.log.read_text()[-4000:]}") from None

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something the pod does, failing at once when it ends before."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            ended = self.process.poll() is not None or time.monotonic() > deadline
            assert not ended, f"{what} did not happen; the log ends with\n{self.log.read_text()[-4000:]}"
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """Process ids of the ranks, in rank order."""
        import psutil

        children = psutil.Process(self.process.pid).children()
        return [child.pid for child in sorted(children, key=lambda child: int(child.environ()["RANK"]))]


def launch(
    space: Workspace,
    config: dict[str, Any],
    *,
    pod: str = "pod",
    nodes: int = 1,
    node: int = 0,
    port: int | None = None,
    extra: dict[str, str] | None = None,
    stage: str = "launch",
) -> Pod:
    """Start what a train pod runs, or (`train`) what its agent starts. `nodes` pods share the gang's ranks."""
    env = {
        **os.environ,
        **space.environment(config, pod=pod),
        "PET_NNODES": str(nodes),
        "PET_NODE_RANK": str(node),
        "PET_NPROC_PER_NODE": str(config["worldSize"] // nodes),
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port or free_port()),
        "OMP_NUM_THREADS": "1",
        **(extra or {}),
    }
    log = space.root / pod / "log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunewright_trainer", stage], env=env, stdout=out, stderr=out, start_new_session=True
        )
    return Pod(process, log)


@dataclass
class WarmGang:
    """Runs `train` in forked ranks of one process that has everything imported."""

    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("warm_gang.py"))]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(
        self,
        space: Workspace,
        config: dict[str, Any],
        *,
        file_size_limit: int = 0,
        extra: dict[str, str] | None = None,
        record: bool = False,
    ) -> "Ranks":
        """Fork the ranks; their log is `pod/log`. `record`: what each rank reads goes to `examples-<rank>.jsonl`."""
        env = space.environment(config) | (extra or {})
        log = space.root / "pod" / "log"
        (space.root / "pod" / "termination-log").unlink(missing_ok=True)
        order = {
            "env": env,
            "world": config["worldSize"],
            "port": free_port(),
            "log": str(log),
            "file_size_limit": file_size_limit,
            "record": str(space.root / "examples") if record else "",
        }
        self._in.write(json.dumps(order) + "\n")
        self._in.flush()
        return Ranks(pids=self.answer(), log=log, gang=self)

    def run(self, space: Workspace, config: dict[str, Any], **how: Any) -> list[int]:
        """Exit codes of the ranks. `how` is `start`'s."""
        return self.start(space, config, **how).wait()

    def answer(self) -> list[int]:
        line = self._out.readline()
        assert line, "the warm gang died"
        return list(json.loads(line))

    @property
    def _in(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self._in.close()
        self._out.close()


@dataclass
class Ranks:
    """Forked ranks at work."""

    pids: list[int]
    log: Path
    gang: "WarmGang"

    def wait(self) -> list[int]:
        return self.gang.answer()

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something the ranks do."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"{what} did not happen; the log ends with\n{self.log.read_text()[-4000:]}"
            time.sleep(0.005)


@contextlib.contextmanager
def progress_endpoint(token_file: Path) -> Iterator[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Kubeflow's progress endpoint on this machine: the environment a pod needs for it, and what was posted."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            allowed = self.headers["Authorization"] == f"Bearer {token_file.read_text()}"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if allowed:
                posted.append(body["trainerStatus"])
            self.send_response(200 if allowed else 403)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    token_file.write_text("a-token")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield (
            {environment.PROGRESS_URL: f"http://127.0.0.1:{server.server_port}/", environment.PROGRESS_TOKEN_FILE: str(token_file)},
            posted,
        )
    finally:
        server.shutdown()
        server.server_close()
