"""`python -m tunewright_server`: serve the folders that `TUNEWRIGHT_MODEL_DIR` or `TUNEWRIGHT_MODEL_DIRS` names, or report why not."""

import logging
import os
import sys
from pathlib import Path

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, dump
from tunewright_server.logs import set_up_logs
from tunewright_server.refusal import RefusalError
from tunewright_server.settings import read_settings, termination_log
from tunewright_server.shell import run

log = logging.getLogger("tunewright_server")


def main() -> ExitCode:
    set_up_logs()
    try:
        return run(read_settings(os.environ))
    except RefusalError as refusal:
        log.error("%s. %s.", refusal, refusal.suggestion, extra={"fields": {"reason": refusal.reason}})  # noqa: TRY400 - no traceback: not a defect
        _leave(refusal.failure, termination_log(os.environ))
        return refusal.exit_code
    except Exception as error:
        log.exception("the server has a defect")
        _leave(Failure(reason="Defect", message=f"{type(error).__name__}: {error}"), termination_log(os.environ))
        return ExitCode.BUG


def _leave(failure: Failure, where: Path | None) -> None:
    """Write the termination message. An error while writing it does not change the exit code."""
    if where is None:
        return
    try:
        where.write_text(dump(failure), encoding="utf-8")
    except OSError as error:
        log.warning("cannot write %s: %s", where, error.strerror)


if __name__ == "__main__":
    sys.exit(main())
