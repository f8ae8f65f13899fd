"""One linear file for each kind of model that is trained, and one for each stage. Read them from top to bottom.

A stage (`check`, `train`, `export`) does the steps that every kind of model needs. The recipe in the task's row does the others.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.folders import ModelManifest
from tunewright_contract.reports import CheckReport, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.data.reading import Splits


class Recipe(Protocol):
    """A module below this package. Each function raises `StageError` with the way out."""

    def check(self, settings: Settings, splits: Splits) -> CheckReport:
        """Find errors of the later stages, without an accelerator and without the base's weights."""

    def train(self, settings: Settings, request: StopRequest) -> TrainReport:
        """Train on every rank of the group, and write `final/`."""

    def export(self, settings: Settings, draft: Path) -> ModelManifest:
        """Fill `draft` with the model folder's files, and return the manifest that describes them."""


def recipe_for(settings: Settings) -> Recipe:
    """Return the recipe of the job's task. It is imported when needed, because its libraries are large."""
    module: Recipe = import_module(f"{__name__}.{TASKS[settings.config.task].recipe}")
    return module
