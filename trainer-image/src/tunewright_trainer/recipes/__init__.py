"""One linear file for each kind of model that is trained, and one for each stage. Read them from top to bottom.

A stage (`check`, `train`, `export`) does what every kind of model needs, and leaves the rest to the recipe that the task's row names.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.model_manifest import ModelManifest
from tunewright_contract.reports import CheckReport, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.data.reading import Splits


class Recipe(Protocol):
    """A module below this package. Each function raises `StageError` with the way out."""

    def check(self, settings: Settings, splits: Splits) -> CheckReport:
        """Find what would fail later, without an accelerator and without the base's weights."""

    def train(self, settings: Settings, request: StopRequest) -> TrainReport:
        """Train on every rank of the group, and leave `final/`."""

    def export(self, settings: Settings, draft: Path) -> ModelManifest:
        """Fill `draft` with the model folder's files, and return the manifest that describes them."""


def recipe_for(settings: Settings) -> Recipe:
    """The recipe of the job's task, imported when needed: none of it is light."""
    module: Recipe = import_module(f"{__name__}.{TASKS[settings.config.task].recipe}")  # type: ignore[assignment]
    return module
