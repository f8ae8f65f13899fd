"""Stops in awkward places: during an evaluation, where nothing would have been saved, at a loss that is no number."""

import os
import signal

import pytest
from gang import WarmGang, Workspace, deepspeed, job, merged, write_chat

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, TrainReport
from tunewright_trainer.common import verified_folder

pytestmark = pytest.mark.slow

DONE = [ExitCode.DONE, ExitCode.DONE]
STOPPED = [ExitCode.STOPPED, ExitCode.STOPPED]


def config(**training):
    return job(worldSize=2, deepspeed=deepspeed(2), training=training)


def logged(space: Workspace, step: int) -> bool:
    """Whether a step is on record; what the schedule has for it, evaluating or saving, comes right after."""
    return (space.output / "metrics.jsonl").is_file() and step in {line["step"] for line in space.metrics}


def failure(space: Workspace) -> Failure:
    report = space.report()
    assert isinstance(report, Failure)
    return report


@pytest.mark.parametrize("at", [2, 4], ids=["in the middle", "after the last step"])
def test_a_stop_during_an_evaluation_saves_and_the_run_resumes_from_it(gang: WarmGang, space: Workspace, at: int) -> None:
    """Many examples, one by one, so that a stop can come in between."""
    write_chat(space.data / "corpus" / "validation.jsonl", 200)
    settings = merged(
        config(max_steps=4, eval_strategy="steps", eval_steps=at, per_device_eval_batch_size=1),
        {"data": {"validation": [{"path": "corpus/validation.jsonl"}]}},
    )
    ranks = gang.start(space, settings)
    ranks.until(lambda: logged(space, at), f"step {at}")
    os.kill(ranks.pids[1], signal.SIGTERM)

    assert ranks.wait() == STOPPED
    assert failure(space).message == f"stopped during an evaluation; checkpoint-{at} is saved"
    assert space.checkpoints == [f"checkpoint-{at}"]
    assert verified_folder.verify(space.output / "checkpoints" / f"checkpoint-{at}") is None

    assert gang.run(space, settings) == DONE
    report = space.report()
    assert isinstance(report, TrainReport)
    assert (report.step, report.resumed_from_step, report.eval_loss is not None) == (4, at, True)


def test_a_stop_saves_even_without_a_save_strategy(gang: WarmGang, space: Workspace) -> None:
    settings = config(max_steps=400, save_strategy="no")
    ranks = gang.start(space, settings)
    ranks.until(lambda: logged(space, 3), "step 3")
    os.kill(ranks.pids[0], signal.SIGTERM)

    assert ranks.wait() == STOPPED
    (saved,) = space.checkpoints
    assert failure(space).message == f"stopped; {saved} is saved"
    assert verified_folder.verify(space.output / "checkpoints" / saved) is None

    ranks = gang.start(space, settings)
    ranks.until(lambda: logged(space, int(saved.split("-")[1]) + 1), "the step after the checkpoint")
    os.kill(ranks.pids[0], signal.SIGTERM)
    assert ranks.wait() == STOPPED
    assert list(space.losses()) == sorted(space.losses()), "each step once, in order: it went on and did not start over"


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_earlier_checkpoints(gang: WarmGang, space: Workspace) -> None:
    """The first step has a learning rate of zero, the second an absurd one; from the third on there is no number."""
    codes = gang.run(space, config(learning_rate=1e30, warmup_steps=5, max_steps=6, save_strategy="steps", save_steps=1))

    assert codes == [ExitCode.CONFIGURATION, ExitCode.CONFIGURATION]
    said = failure(space)
    assert (said.reason, "at step 3" in said.message, "learningRate" in said.suggestion) == ("NaNLoss", True, True), said.message
    assert space.checkpoints == ["checkpoint-1", "checkpoint-2"]
    assert [verified_folder.verify(space.output / "checkpoints" / name) for name in space.checkpoints] == [None, None]
    assert not (space.output / "final").exists()
