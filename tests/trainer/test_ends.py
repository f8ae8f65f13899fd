"""The end of a stage: missing settings, exceptions and their meaning, the termination message."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, TrainReport, load
from tunewright_trainer.common.cgroup import oom_kills
from tunewright_trainer.common.exits import StageError, failure, read_termination, stage_error, write_termination
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.distributed.launch import worker_failed


def named(qualified: str, *bases: type) -> type[Exception]:
    """An exception type as another library would have it."""
    module, name = qualified.rsplit(".", 1)
    return type(name, bases or (RuntimeError,), {"__module__": module})


MEANINGS = {
    "torch is out of memory": (named("torch.OutOfMemoryError")("CUDA out of memory"), ExitCode.OUT_OF_MEMORY, "OutOfMemory"),
    "python is out of memory": (MemoryError(), ExitCode.OUT_OF_MEMORY, "OutOfMemory"),
    "the disk is full": (OSError(errno.ENOSPC, "No space left on device"), ExitCode.RETRY, "DiskFull"),
    "the quota is used up": (OSError(errno.EDQUOT, "Quota exceeded"), ExitCode.RETRY, "DiskFull"),
    "safetensors met a full disk": (RuntimeError("I/O error: No space left on device (os error 28)"), ExitCode.RETRY, "DiskFull"),
    "torch.save met a full disk": (
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
        ExitCode.RETRY,
        "DiskFull",
    ),
    "the volume went away": (OSError(errno.ESTALE, "Stale file handle"), ExitCode.RETRY, "StorageFailed"),
    "a peer is gone": (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"), ExitCode.RETRY, "PeerLost"),
    "the store is gone": (named("torch.distributed.DistStoreError")("timeout"), ExitCode.RETRY, "PeerLost"),
    "the repository is gated": (
        named("huggingface_hub.errors.GatedRepoError", named("huggingface_hub.errors.RepositoryNotFoundError"))("403"),
        ExitCode.CONFIGURATION,
        "ModelGated",
    ),
    "the repository is unknown": (named("huggingface_hub.errors.RepositoryNotFoundError")("404"), ExitCode.CONFIGURATION, "ModelNotFound"),
    "the hub is away": (named("huggingface_hub.errors.LocalEntryNotFoundError")("no connection"), ExitCode.RETRY, "HubUnreachable"),
    "ours": (KeyError("oops"), ExitCode.BUG, "InternalError"),
}


@pytest.mark.parametrize(("raised", "code", "reason"), MEANINGS.values(), ids=MEANINGS)
def test_an_exception_becomes_a_failure_with_a_way_out(raised: Exception, code: ExitCode, reason: str) -> None:
    error = stage_error(raised)

    assert (error.code, error.reason) == (code, reason)
    assert error.suggestion


def test_the_cause_of_a_wrapped_exception_decides() -> None:
    wrapped = ValueError("could not save")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")

    assert stage_error(wrapped).reason == "DiskFull"


def test_the_first_failure_of_a_pod_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first = StageError(ExitCode.DATA, "DataInvalid", "line 3", "correct it")
    echo = StageError(ExitCode.RETRY, "PeerLost", "gone", "wait")

    write_termination(failure(first, rank=1), path)
    write_termination(failure(echo, rank=0), path)

    assert read_termination(path) == Failure(reason="DataInvalid", message="line 3", rank=1, suggestion="correct it")


def test_a_failure_with_a_cause_replaces_one_without(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for reason in "PeerLost", "InternalError", "OutOfMemory", "InternalError", "DataInvalid":
        write_termination(Failure(reason=reason, message=reason), path)

    assert read_termination(path) == Failure(reason="OutOfMemory", message="OutOfMemory")


KILLED, NOTHING = -signal.SIGKILL, ""
DEATHS = {  # exit codes of a pod's workers by rank, their messages, whether the kernel killed one for memory -> the pod's message
    "killed for memory": ({3: KILLED}, NOTHING, True, ExitCode.OUT_OF_MEMORY, "OutOfMemory", 3),
    "killed for memory, and its neighbour was quicker to say something": ({2: 75, 3: KILLED}, "PeerLost", True, 137, "OutOfMemory", 3),
    "a loader of it was killed for memory": ({2: 70}, "InternalError", True, ExitCode.OUT_OF_MEMORY, "OutOfMemory", 2),
    "one was killed for memory, another names its own cause": ({2: 65}, "DataInvalid", True, ExitCode.DATA, "DataInvalid", None),
    "killed by somebody": ({3: KILLED}, NOTHING, False, ExitCode.RETRY, "Killed", 3),
    "killed where the kernel does not tell why": ({3: KILLED}, NOTHING, None, ExitCode.RETRY, "Killed", 3),
    "a segmentation fault": ({0: -signal.SIGSEGV}, NOTHING, False, ExitCode.RETRY, "WorkerDied", 0),
    "a typed end": ({0: 65}, "DataInvalid", False, ExitCode.DATA, "DataInvalid", None),
    "an end without a word": ({0: 65}, NOTHING, False, ExitCode.RETRY, "WorkerDied", 0),
}


@pytest.mark.parametrize(("codes", "said", "for_memory", "code", "reason", "rank"), DEATHS.values(), ids=DEATHS)
def test_a_pod_reports_how_its_worker_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    codes: dict[int, int],
    said: str,
    for_memory: bool | None,
    code: int,
    reason: str,
    rank: int | None,
) -> None:
    monkeypatch.setenv(environment.TERMINATION_LOG, str(tmp_path / "log"))
    if said:
        write_termination(Failure(reason=said, message="said"), tmp_path / "log")

    error = worker_failed(min(codes), codes, for_memory=for_memory)

    assert (error.code, error.reason, error.rank) == (code, reason, rank)
    assert "memory" not in error.message or "not" in error.message or error.code is ExitCode.OUT_OF_MEMORY


GROUPS = {  # /proc/self/cgroup, the kernel's file -> how many it has killed
    "version 2": ("0::/pod/trainer", "pod/trainer/memory.events", "low 0\noom 3\noom_kill 2\n", 2),
    "version 2 in a container": ("0::/", "memory.events", "oom_kill 1\n", 1),
    "version 1": ("9:cpu:/a\n4:memory:/b", "memory/b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5),
    "version 1 in a container": ("4:cpu,memory:/its/name/outside\n0::/", "memory/memory.oom_control", "oom_kill 0\n", 0),
    "an old kernel": ("4:memory:/", "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", None),
    "no control groups": ("", "nothing", "", None),
}


@pytest.mark.parametrize(("own", "file", "content", "kills"), GROUPS.values(), ids=GROUPS)
def test_kills_by_the_kernel_are_counted(tmp_path: Path, own: str, file: str, content: str, kills: int | None) -> None:
    for path, text in {tmp_path / "proc/self/cgroup": own, tmp_path / "sys/fs/cgroup" / file: content}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert oom_kills(tmp_path) == kills


def test_a_failure_replaces_an_early_success(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_termination(TrainReport(step=1, max_steps=1, train_loss=1.0), path)
    write_termination(Failure(reason="PeerLost", message="gone"), path)

    assert isinstance(read_termination(path), Failure)


@pytest.mark.parametrize("missing", [environment.CONFIG, environment.DATA_DIR, environment.OUTPUT_DIR, environment.MODEL_DIR])
def test_a_missing_variable_is_named(tmp_path: Path, missing: str) -> None:
    env = good_environment(tmp_path)
    del env[missing]

    with pytest.raises(StageError, match=missing) as caught:
        Settings.from_environment(env)

    assert caught.value.code is ExitCode.CONFIGURATION


@pytest.mark.parametrize("stage", ["check", "train", "export"])
def test_a_configuration_of_another_release_is_refused_with_its_field(tmp_path: Path, stage: str) -> None:
    env = good_environment(tmp_path)
    Path(env[environment.CONFIG]).write_text('{"job": 1}')

    ended = subprocess.run([sys.executable, "-m", "tunewright_trainer", stage], env={**os.environ, **env}, capture_output=True, check=False)

    assert ended.returncode == ExitCode.CONFIGURATION
    report = load(Path(env[environment.TERMINATION_LOG]).read_text())
    assert isinstance(report, Failure)
    assert report.reason == "ConfigInvalid"
    assert "config.json: job: " in report.message


def good_environment(folder: Path) -> dict[str, str]:
    (folder / "config.json").write_text(
        '{"job": {"namespace": "n", "name": "j", "uid": "u", "revision": "r"}, "task": "ChatCompletion", "model": {},'
        ' "data": {"train": [{"path": "rows.jsonl"}]}, "method": {"tuner": "full"}, "training": {}}'
    )
    return {
        environment.CONFIG: str(folder / "config.json"),
        environment.MODEL_DIR: str(folder),
        environment.DATA_DIR: str(folder),
        environment.OUTPUT_DIR: str(folder / "out"),
        environment.TERMINATION_LOG: str(folder / "termination-log"),
    }
