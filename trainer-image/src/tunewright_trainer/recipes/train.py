"""Train: join the process group, train with the task's recipe, leave the group.

Promises `final/`, complete and verified, or a checkpoint to resume from and a reason. Started again after `final/` is complete, it returns
at once and trains nothing.
"""

import logging
import os

from tunewright_contract.reports import TrainReport
from tunewright_trainer.common.own_file import RUN_ENTRIES, mark
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest, exit_on_signal_during_rendezvous
from tunewright_trainer.distributed import process_group
from tunewright_trainer.distributed.final import finished_report
from tunewright_trainer.recipes import recipe_for

log = logging.getLogger(__name__)


def run(settings: Settings) -> TrainReport | None:
    """Train. Returns rank 0's report, None on the other ranks. Raises `StageError`."""
    report = finished_report(settings.final_dir)
    if report is not None:
        log.info("%s is complete: nothing to train", settings.final_dir.name)
        return report if os.environ.get("RANK", "0") == "0" else None
    if os.environ.get("RANK", "0") == "0":
        mark(settings.output_dir, settings.config.job, entries=RUN_ENTRIES)
    settings.checkpoints_dir.mkdir(parents=True, exist_ok=True)
    exit_on_signal_during_rendezvous()
    process_group.join(settings)
    request = StopRequest()
    request.listen()  # from now on a stop saves a checkpoint
    report = recipe_for(settings).train(settings, request)
    first = process_group.rank() == 0
    process_group.leave()
    return report if first else None
