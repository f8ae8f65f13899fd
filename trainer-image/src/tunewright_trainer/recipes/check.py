"""Check: validates everything possible before the job takes an accelerator.

Promises the facts that the plan needs, and reports the errors that later stages would find: base model, tokenizer, data row by row, the
adapter's targets, the export. Loads no weights of the base, and needs no accelerator.
"""

import logging

from tunewright_contract.reports import CheckReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import read_splits
from tunewright_trainer.recipes import recipe_for
from tunewright_trainer.tuning.arguments import refuse_impossible

log = logging.getLogger(__name__)


def run(settings: Settings) -> CheckReport:
    """Check everything; cheap and likely faults first. Raises `StageError` for the first one."""
    refuse_impossible(settings)
    splits = read_splits(settings)
    report = recipe_for(settings).check(settings, splits)
    for warning in report.warnings:
        log.warning(warning)
    return report
