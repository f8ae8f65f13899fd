"""`launch`: this pod's part of the gang, through torchrun's own agent, ending as its workers ended.

torchrun itself exits 1 whatever its workers say, and leaves them 30 seconds after SIGTERM. This runs the same agent from the same PET_*
variables, gives saving the time the pod has, and turns the first failure into the exit code and termination message of the contract.
"""

import logging
import os
import signal
from pathlib import Path

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure
from tunewright_trainer.exits import StageError, failure, read_termination, write_termination

log = logging.getLogger(__name__)

# Seconds workers get to save after SIGTERM before the agent kills them. Longer than any pod's grace period on purpose: when to
# give up is the kubelet's decision (terminationGracePeriodSeconds), not the agent's.
_SHUTDOWN_TIMEOUT = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
_SHUTDOWN_SECONDS = "3600"


def launch(termination_log: Path) -> ExitCode:
    """Run `train` in this pod's processes and return the code of the one that failed first, or DONE."""
    os.environ.setdefault(_SHUTDOWN_TIMEOUT, _SHUTDOWN_SECONDS)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(["-m", "tunewright_trainer", "train"])
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        return _ended(first.exitcode, rank, termination_log)
    except SignalException as stopped:
        said = read_termination(termination_log)
        if isinstance(said, Failure) and said.reason == "Stopped":
            return ExitCode.STOPPED
        if said is not None and not isinstance(said, Failure):
            return ExitCode.DONE  # it finished while the signal was on its way
        return _fail(_unsaved(signal.Signals(stopped.sigval)), None, termination_log)
    except Exception as error:  # the rendezvous: a peer that never came, a port in use
        return _fail(_rendezvous(error), None, termination_log)
    return ExitCode.DONE


def _ended(code: int, rank: int, termination_log: Path) -> ExitCode:
    """The first failing worker's own code; a worker that died without a word (a negative code is a signal) gets one here."""
    if code in set(ExitCode):
        return ExitCode(code)
    if code == -signal.SIGKILL:
        error = StageError(
            ExitCode.OUT_OF_MEMORY,
            "Killed",
            f"rank {rank} was killed (SIGKILL), as the kernel does when memory runs out",
            "Lower training.perDeviceTrainBatchSize or data.maxLength, raise deepspeed.stage, or give the workers more memory.",
        )
    else:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        error = StageError(
            ExitCode.RETRY, "WorkerDied", f"rank {rank} ended with {how} and said nothing", "Read its log; the gang resumes from its checkpoint."
        )
    return _fail(error, rank, termination_log)


def _unsaved(asked: signal.Signals) -> StageError:
    return StageError(
        ExitCode.RETRY,
        "StoppedWithoutSaving",
        f"{asked.name} arrived and the workers ended before a checkpoint was complete",
        "The gang resumes from the checkpoint before; raise terminationGracePeriodSeconds if this happens again.",
    )


def _rendezvous(error: Exception) -> StageError:
    return StageError(
        ExitCode.RETRY,
        "RendezvousFailed",
        f"the workers did not find each other: {type(error).__name__}: {error}",
        "See whether every pod of the gang is scheduled, and whether PET_MASTER_PORT on the first is free.",
    )


def _fail(error: StageError, rank: int | None, termination_log: Path) -> ExitCode:
    log.error("%s: %s\n  way out: %s", error.reason, error.message, error.suggestion)
    write_termination(failure(error, rank=rank), termination_log)
    return error.code
