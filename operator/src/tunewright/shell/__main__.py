"""`python -m tunewright.shell`, installed as `tunewright-operator`. Exit codes: 0 stopped · 1 a task ended · 64 invalid settings."""

import asyncio
import gc
import logging
import os
import sys

from tunewright.shell.app import run
from tunewright.shell.logs import set_up
from tunewright.shell.settings import read_settings
from tunewright_contract.exit_codes import ExitCode
from tunewright_runtime.errors import Invalid
from tunewright_runtime.lease import LeaseLostError

COLLECTED_AFTER = 20_000  # containers more than were freed. Objects of the API server are trees, and go without a collection


def main() -> int:
    """Run the operator."""
    try:
        settings = read_settings(os.environ)
    except Invalid as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.CONFIGURATION
    set_up(level=settings.log_level, form=settings.log_format)
    gc.freeze()  # what is imported stays
    gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])
    try:
        asyncio.run(run(settings))
    except LeaseLostError:
        # Another operator may be working. Exit without waiting for threads with open requests, because none of them may write again.
        logging.getLogger(__name__).exception("the operator exits at once; the kubelet restarts it")
        logging.shutdown()
        os._exit(1)
    except Exception:
        logging.getLogger(__name__).exception("the operator exits; the kubelet restarts it")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
