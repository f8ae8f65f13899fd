"""`launch`: runs this pod's part of the gang through torchrun's own agent, and exits as its workers did.

torchrun itself always exits with 1. This module runs the same agent from the same PET_* variables, and turns the first failure into the
exit code and termination message of the contract. The workers' own messages stay; only a worker without one gets one here.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure
from tunewright_trainer.common.cgroup import oom_kills
from tunewright_trainer.common.exits import NAMELESS, StageError, killed_for_memory, read_termination
from tunewright_trainer.common.signals import exit_on_signal_during_rendezvous, stopped

# Seconds that the agent gives its workers to save after SIGTERM, and its healthy workers to end after one has failed. The pod's
# terminationGracePeriodSeconds should be a little longer; the variable sets another value.
_SHUTDOWN_TIMEOUT = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
_SHUTDOWN_SECONDS = "120"


def launch() -> None:
    """Run `train` in this pod's processes. Raises `StageError` with the code of the worker that failed first."""
    os.environ.setdefault(_SHUTDOWN_TIMEOUT, _SHUTDOWN_SECONDS)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    before = oom_kills()
    exit_on_signal_during_rendezvous()
    try:
        torchrun(["-m", "tunewright_trainer", "train"])
    except ChildFailedError as error:
        first, _ = error.get_first_failure()
        codes = {rank: worker.exitcode for rank, worker in error.failures.items()}
        raise worker_failed(first, codes, for_memory=None if before is None else oom_kills() != before) from None
    except SignalException as signalled:
        _after_signal(signal.Signals(signalled.sigval))
    except StageError:
        raise
    except Exception as error:
        raise StageError(
            ExitCode.RETRY,
            "RendezvousFailed",
            f"the rendezvous of the workers failed: {type(error).__name__}: {error}",
            "Check that every pod of the gang is scheduled, and that PET_MASTER_PORT is free on the first.",
        ) from error


def worker_failed(first: int, codes: Mapping[int, int], *, for_memory: bool | None) -> StageError:
    """Return the error for the exit codes of a pod's failed workers, by rank. With a code of the contract, the worker wrote its message.

    A negative code is a signal. `for_memory`: whether the kernel has killed one because memory ran out; None if that is unknown.
    The other workers' failures then follow from the killed one.
    """
    said, code = _last_word(), codes[first]
    if for_memory and (not isinstance(said, Failure) or said.reason in NAMELESS):
        return killed_for_memory(next((rank for rank, code in codes.items() if code == -signal.SIGKILL), first))
    if code in set(ExitCode) and isinstance(said, Failure):
        return StageError(ExitCode(code), said.reason, said.message, said.suggestion)
    if code == -signal.SIGKILL:
        return StageError(
            ExitCode.RETRY,
            "Killed",
            f"rank {first} was killed (SIGKILL)"
            + ("; this system does not report whether memory ran out" if for_memory is None else ", and not because memory ran out"),
            "Find out what killed it; the gang resumes from its checkpoint.",
            rank=first,
        )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return StageError(
        ExitCode.RETRY,
        "WorkerDied",
        f"rank {first} ended with {how} without a report",
        "Read its log; the gang resumes from its checkpoint.",
        rank=first,
    )


def _after_signal(asked: signal.Signals) -> None:
    """Decide the result after a stop signal, which the agent has passed on. The workers' results count: a finished run is a success."""
    said = _last_word()
    if said is None:
        raise StageError(
            ExitCode.RETRY,
            "StoppedWithoutSaving",
            f"{asked.name} arrived and the workers ended before a checkpoint was complete",
            "The gang resumes from the previous checkpoint. If this happens again, use a faster volume: output.storage of a new job.",
        )
    if isinstance(said, Failure):
        if said.reason == "Stopped":
            raise stopped(said.message)
        raise StageError(ExitCode.RETRY, said.reason, said.message, said.suggestion)


def _last_word() -> object:
    path = os.environ.get(environment.TERMINATION_LOG)
    return read_termination(Path(path)) if path else None
