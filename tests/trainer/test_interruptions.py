"""Kills, signals, flipped bits and full disks: nothing of a run is lost but the steps since its last checkpoint."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gang import WarmGang, Workspace, deepspeed, free_port, job, launch, merged, progress_endpoint

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, TrainReport

pytestmark = pytest.mark.slow

STEPS = 30
SAVED_EVERY = 5
TOLERANCE = 1e-6  # absolute, on the loss: the same numbers in the same order, so only the last bit may differ


def config(**changes):
    training = {
        "max_steps": STEPS,
        "save_strategy": "steps",
        "save_steps": SAVED_EVERY,
        "save_total_limit": 3,
        "gradient_accumulation_steps": 2,
    }
    dropout = {"lora": {"lora_dropout": 0.1}}  # random numbers must continue where they stopped, too
    return job(**merged({"worldSize": 2, "deepspeed": deepspeed(2), "training": training, "method": dropout}, changes))


DONE = [ExitCode.DONE, ExitCode.DONE]


@pytest.fixture(scope="module")
def undisturbed(gang: WarmGang, base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The run that nothing happens to; the others must end as it did."""
    space = Workspace(tmp_path_factory.mktemp("undisturbed"), base_model)
    assert gang.run(space, config()) == DONE
    return space


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[tuple[dict[str, str], list]]:
    with progress_endpoint(tmp_path / "token") as endpoint:
        yield endpoint


def train_report(space: Workspace) -> TrainReport:
    report = space.report()
    assert isinstance(report, TrainReport)
    return report


def failure(space: Workspace, pod: str = "pod") -> Failure:
    report = space.report(pod)
    assert isinstance(report, Failure)
    return report


def assert_ends_as(undisturbed: Workspace, space: Workspace) -> None:
    expected = undisturbed.losses()
    assert space.losses() == pytest.approx(expected, abs=TOLERANCE)
    assert list(space.losses()) == list(expected), "each step once, in order"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_finished_run_is_in_report_progress_and_metrics(undisturbed: Workspace) -> None:
    report = train_report(undisturbed)
    assert (report.step, report.max_steps, report.resumed_from_step) == (STEPS, STEPS, None)
    assert report.tokens > 0
    assert report.peak_memory_bytes > 2**20
    assert undisturbed.checkpoints == ["checkpoint-20", "checkpoint-25", "checkpoint-30"]
    assert all(line["tokens_per_second"] > 0 for line in undisturbed.metrics)


def test_a_finished_run_that_starts_again_trains_nothing(gang: WarmGang, undisturbed: Workspace) -> None:
    before = (undisturbed.output / "metrics.jsonl").read_bytes()

    assert gang.run(undisturbed, config()) == DONE

    assert train_report(undisturbed).step == STEPS
    assert (undisturbed.output / "metrics.jsonl").read_bytes() == before


def shared_buffers() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("deepspeed_allreduce_buffer_*")}


def test_after_a_killed_rank_the_run_resumes_from_the_last_checkpoint(gang: WarmGang, space: Workspace, undisturbed: Workspace) -> None:
    before = shared_buffers()
    ranks = gang.start(space, config())
    ranks.until(lambda: len(space.checkpoints) >= 2, "the second checkpoint")
    os.kill(ranks.pids[1], signal.SIGKILL)
    assert ranks.wait() == [ExitCode.RETRY, -signal.SIGKILL]
    assert shared_buffers() <= before, "memory of the machine that nobody would give back"
    assert failure(space).reason == "PeerLost"
    left = space.checkpoints[-1]

    assert gang.run(space, config()) == DONE

    assert f"checkpoint-{train_report(space).resumed_from_step}" == left
    assert_ends_as(undisturbed, space)


@pytest.mark.parametrize(
    "spoil", [flip_a_bit, Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])], ids=["flipped", "removed", "cut"]
)
def test_a_corrupt_newest_checkpoint_is_skipped(gang: WarmGang, space: Workspace, undisturbed: Workspace, spoil) -> None:
    ranks = gang.start(space, config())
    ranks.until(lambda: len(space.checkpoints) >= 2, "the second checkpoint")
    os.kill(ranks.pids[0], signal.SIGTERM)
    assert ranks.wait() == [ExitCode.STOPPED, ExitCode.STOPPED]
    before, newest = space.checkpoints[-2:]
    spoil(next((space.output / "checkpoints" / newest).rglob("*optim_states.pt")))

    assert gang.run(space, config()) == DONE

    assert f"checkpoint-{train_report(space).resumed_from_step}" == before
    assert f"{newest} is not used: global_step" in (space.root / "pod" / "log").read_text()
    assert_ends_as(undisturbed, space)


def test_sigterm_to_one_pod_stops_all_pods_after_the_same_step(
    gang: WarmGang, space: Workspace, undisturbed: Workspace, heard: tuple[dict[str, str], list]
) -> None:
    endpoint, posted = heard
    port = free_port()
    pods = [launch(space, config(), pod=f"pod-{n}", nodes=2, node=n, port=port, extra=endpoint) for n in range(2)]
    pods[0].until(lambda: len(space.checkpoints) >= 2, "the second checkpoint")
    os.kill(pods[1].process.pid, signal.SIGTERM)

    assert [pod.wait() for pod in pods] == [ExitCode.STOPPED, ExitCode.STOPPED]
    newest = space.checkpoints[-1]
    assert [(failure(space, pod).reason, failure(space, pod).message) for pod in ("pod-0", "pod-1")] == [
        ("Stopped", f"stopped; {newest} is saved")
    ] * 2
    assert max(status.get("progressPercentage", 0) for status in posted) < 100
    said = {metric["name"]: metric["value"] for metric in posted[-1]["metrics"]}
    assert f"checkpoint-{said['global_step']}" == newest
    assert said.keys() >= {"loss", "max_steps", "tokens_per_second", "learning_rate"}
    assert (f"checkpoint-{said['checkpoint_step']}", "resumed_from_step" in said) == (newest, False)

    assert gang.run(space, config(), extra=endpoint) == DONE

    assert f"checkpoint-{train_report(space).resumed_from_step}" == newest
    assert posted[-1]["progressPercentage"] == 100
    said = {metric["name"]: metric["value"] for metric in posted[-1]["metrics"]}
    assert (said["checkpoint_step"], f"checkpoint-{said['resumed_from_step']}") == (str(STEPS), newest)
    assert_ends_as(undisturbed, space)


@pytest.mark.parametrize("stage", ["launch", "train"])
def test_a_rank_that_waits_for_others_exits_on_sigterm(space: Workspace, stage: str) -> None:
    """The agent and its workers wait inside a library, where Python runs no signal handler."""
    port = free_port()
    as_worker = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    pod = launch(space, config(), nodes=2, port=port, extra=as_worker, stage=stage)
    pod.until(lambda: is_listening(port), "it waits for the second pod")
    os.kill(pod.process.pid, signal.SIGTERM)

    assert pod.wait() == ExitCode.STOPPED
    assert failure(space).message == "stopped before all ranks had joined"


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_full_disk_while_saving_keeps_earlier_checkpoints(gang: WarmGang, space: Workspace) -> None:
    """A limit on file size stands in for the disk."""
    ranks = gang.start(space, config())
    ranks.until(lambda: len(space.checkpoints) == 1, "the first checkpoint")
    os.kill(ranks.pids[0], signal.SIGTERM)
    ranks.wait()
    kept = {path: path.read_bytes() for path in (space.output / "checkpoints").rglob("*") if path.is_file()}
    saved = space.checkpoints

    codes = gang.run(space, config(), file_size_limit=max(map(len, kept.values())) - 1)

    assert codes == [ExitCode.RETRY, ExitCode.RETRY]
    assert failure(space).reason == "DiskFull"
    assert space.checkpoints == saved
    assert {path: path.read_bytes() for path in kept} == kept
