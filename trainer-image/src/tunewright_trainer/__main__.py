"""`python -m tunewright_trainer check | launch | train | export | prebuild`: runs one stage, reports its result, exits with its code.

Promises that every process ends with a termination message and an exit code of the contract. `launch` runs `train` in this pod's processes
through torchrun's agent, and exits as they did. `torchrun -m tunewright_trainer train` trains the same, but exits 1 on failure.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Report
from tunewright_contract.stages import STAGES, TRAIN, Shape
from tunewright_trainer.common.exits import StageError, clear_termination, failure, stage_error, write_termination
from tunewright_trainer.common.logs import set_up
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import exit_on_signal

log = logging.getLogger("tunewright_trainer")

# Imported when needed: `check` must not wait for libraries that only `train` needs.
_STAGES = {stage.name: f"tunewright_trainer.recipes.{stage.name}" for stage in STAGES if stage.shape is not Shape.SERVER}
_LAUNCH = TRAIN.command[-1]


def main(argv: list[str] | None = None) -> int:
    """Run the stage named on the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="tunewright_trainer", description="Run one stage of a FineTuneJob.")
    parser.add_argument("stage", choices=[*_STAGES, _LAUNCH, "prebuild"])
    stage = parser.parse_args(argv).stage
    set_up(_rank_label(os.environ))
    exit_on_signal()  # until training installs its own handlers
    termination_log = _termination_log(os.environ)
    if termination_log is not None and not _is_worker(os.environ):
        clear_termination(termination_log)
    return _guarded(lambda: _run(stage), termination_log)


def _run(stage: str) -> Report | None:
    if stage == "prebuild":
        from tunewright_trainer.distributed.prebuild import prebuild

        prebuild()
        return None
    if stage == _LAUNCH:
        from tunewright_trainer.distributed.launch import launch

        launch()
        return None  # rank 0 has written the report already
    report: Report | None = import_module(_STAGES[stage]).run(Settings.from_environment(os.environ))
    return report


def _guarded(work: Callable[[], Report | None], termination_log: Path | None) -> int:
    try:
        report = work()
    except Exception as raised:  # noqa: BLE001 - the one place that catches every error, to report it
        error = stage_error(raised)
        _log_failure(error, raised)
        if termination_log is not None:
            write_termination(failure(error, rank=_rank(os.environ)), termination_log)
        return int(error.code)
    if report is not None and termination_log is not None:
        write_termination(report, termination_log)
    return int(ExitCode.DONE)


def _log_failure(error: StageError, raised: BaseException) -> None:
    known = error is raised and error.code is not ExitCode.BUG
    log.error("%s: %s\n  way out: %s", error.reason, error.message, error.suggestion, exc_info=None if known else raised)


def _termination_log(env: Mapping[str, str]) -> Path | None:
    """Return the path of the termination message. It is read before the settings, because their errors are reported there."""
    value = env.get(environment.TERMINATION_LOG, "")
    return Path(value) if value else None


def _is_worker(env: Mapping[str, str]) -> bool:
    return "TORCHELASTIC_RUN_ID" in env


def _rank(env: Mapping[str, str]) -> int | None:
    return int(env["RANK"]) if env.get("RANK", "").isdecimal() else None


def _rank_label(env: Mapping[str, str]) -> str:
    rank = _rank(env)
    return "" if rank is None else f"[rank {rank}] "


if __name__ == "__main__":
    sys.exit(main())
