"""`launch`: this pod's part of the gang, through torchrun's own agent, ending as its workers ended.

torchrun itself exits 1 whatever its workers say. This runs the same agent from the same PET_* variables and turns the first failure into
the exit code and termination message of the contract. The workers' own messages stand; only a worker that died without a word gets
one here.
"""

import os
import signal
from pathlib import Path

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure
from tunewright_trainer.exits import StageError, read_termination
from tunewright_trainer.signals import stopped

# Seconds the agent leaves its workers to save after SIGTERM, and its healthy workers to notice that one has failed. The pod's
# terminationGracePeriodSeconds should be a little longer; set the variable to go beyond.
_SHUTDOWN_TIMEOUT = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
_SHUTDOWN_SECONDS = "120"


def launch() -> None:
    """Run `train` in this pod's processes. Raises `StageError` with the code of the worker that failed first."""
    os.environ.setdefault(_SHUTDOWN_TIMEOUT, _SHUTDOWN_SECONDS)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(["-m", "tunewright_trainer", "train"])
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        raise _worker_failed(rank, first.exitcode) from None
    except SignalException as signalled:
        _after_signal(signal.Signals(signalled.sigval))
    except StageError:
        raise
    except Exception as error:
        raise StageError(
            ExitCode.RETRY,
            "RendezvousFailed",
            f"the workers did not find each other: {type(error).__name__}: {error}",
            "See whether every pod of the gang is scheduled, and whether PET_MASTER_PORT on the first is free.",
        ) from error


def _worker_failed(rank: int, code: int) -> StageError:
    """What a worker's exit says. A code of the contract comes with the worker's own message; a negative code is a signal."""
    said = _last_word()
    if code in set(ExitCode) and isinstance(said, Failure):
        return StageError(ExitCode(code), said.reason, said.message, said.suggestion)
    if code in (-signal.SIGKILL, ExitCode.OUT_OF_MEMORY):
        return StageError(
            ExitCode.OUT_OF_MEMORY,
            "Killed",
            f"rank {rank} was killed (SIGKILL), as the kernel does when memory runs out",
            "Lower training.perDeviceTrainBatchSize or data.maxLength, raise deepspeed.stage, or give the workers more memory.",
        )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return StageError(
        ExitCode.RETRY,
        "WorkerDied",
        f"rank {rank} ended with {how} and said nothing",
        "Read its log; the gang resumes from its checkpoint.",
    )


def _after_signal(asked: signal.Signals) -> None:
    """The agent was asked to stop, passed it on and waited. What the workers said decides; a finished run is a success."""
    said = _last_word()
    if said is None:
        raise StageError(
            ExitCode.RETRY,
            "StoppedWithoutSaving",
            f"{asked.name} arrived and the workers ended before a checkpoint was complete",
            "The gang resumes from the checkpoint before; raise terminationGracePeriodSeconds if this happens again.",
        )
    if isinstance(said, Failure):
        if said.reason == "Stopped":
            raise stopped(said.message)
        raise StageError(ExitCode.RETRY, said.reason, said.message, said.suggestion)


def _last_word() -> object:
    path = os.environ.get(environment.TERMINATION_LOG)
    return read_termination(Path(path)) if path else None
