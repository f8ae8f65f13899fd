"""Exit codes of the trainer, and the operator's reaction to each. One table for both sides.

The numbers follow sysexits.h (64, 65, 70, 75) and the shell's 128 + signal (137, 143).
"""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """The exit code of a check, train or export process."""

    DONE = 0
    CONFIGURATION = 64  # the job asks for something that cannot work
    DATA = 65  # the data cannot be used
    BUG = 70  # ours
    RETRY = 75  # the world was in the way: a lost peer, a full disk, a hub that does not answer
    OUT_OF_MEMORY = 137  # also what SIGKILL by the kernel looks like
    STOPPED = 143  # asked to stop, and did so after saving


class Disposition(StrEnum):
    """What an exit asks the operator to do."""

    SUCCEED = "Succeed"
    FAIL = "Fail"  # repeating it cannot help
    RETRY = "Retry"  # repeat, and count it against the backoff limit
    RESUME = "Resume"  # continue from the last checkpoint, and count nothing


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
    """Return what an exit code asks for. A code outside the table (a segfault, a lost peer) is worth a retry."""
    try:
        return DISPOSITIONS[ExitCode(code)]
    except ValueError:
        return Disposition.RETRY
