"""Exit codes of the trainer, and the operator's reaction to each. One table for both sides.

The numbers follow sysexits.h (64, 65, 70, 75) and the shell's 128 + signal (137, 143).
"""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """The exit code of a check, train or export process."""

    DONE = 0
    CONFIGURATION = 64  # the job requests something that cannot work
    DATA = 65  # the data cannot be used
    BUG = 70  # a defect of Tunewright
    RETRY = 75  # the cause is outside of the job: a lost peer, a full disk, a hub that does not answer
    OUT_OF_MEMORY = 137  # also the exit code after SIGKILL by the kernel
    STOPPED = 143  # stopped by a signal, after saving


class Disposition(StrEnum):
    """The operator's reaction to an exit."""

    SUCCEED = "Succeed"
    FAIL = "Fail"  # a retry cannot succeed
    RETRY = "Retry"  # retry, and count it against the backoff limit
    RESUME = "Resume"  # continue from the last checkpoint, without counting it


DISPOSITIONS: dict[ExitCode, Disposition] = {
    ExitCode.DONE: Disposition.SUCCEED,
    ExitCode.CONFIGURATION: Disposition.FAIL,
    ExitCode.DATA: Disposition.FAIL,
    ExitCode.BUG: Disposition.FAIL,
    ExitCode.RETRY: Disposition.RETRY,
    ExitCode.OUT_OF_MEMORY: Disposition.RETRY,
    ExitCode.STOPPED: Disposition.RESUME,
}


def disposition(code: int) -> Disposition:
    """Return the reaction to an exit code. A code outside the table (a segfault, a lost peer) is retried."""
    try:
        return DISPOSITIONS[ExitCode(code)]
    except ValueError:
        return Disposition.RETRY
