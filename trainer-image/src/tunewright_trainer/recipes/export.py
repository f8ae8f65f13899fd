"""The export stage: turns `final/` into a model folder for the server, or fails with a reason.

Promises that a published model matches the trained one (see `parity`), records its origin, and is complete or absent. A
second run over a complete folder of the same job returns at once.
"""

import logging
from pathlib import Path

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import ModelManifest
from tunewright_contract.reports import ExportReport
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.own_file import mark
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.export import publish
from tunewright_trainer.recipes import recipe_for

log = logging.getLogger(__name__)


def run(settings: Settings) -> ExportReport:
    """Merge, export, compare, score and publish. Raises `StageError`; the earlier published folder is then unchanged."""
    folder = _publish_dir(settings)
    found = publish.published(folder)
    if found is not None and _is_of(found, settings):
        log.info("already published and verified: %s", folder)
        return ExportReport(artifacts=[publish.artifact(found, folder)], evaluation=found.evaluation)
    _refuse_foreign(folder, settings)
    with publish.draft(folder) as draft:
        mark(draft, settings.config.job, entries=["*"])
        manifest = recipe_for(settings).export(settings, draft)
        publish.seal(draft, folder, manifest)
    log.info("published %s", folder)
    return ExportReport(artifacts=[publish.artifact(manifest, folder)], evaluation=manifest.evaluation)


def _is_of(manifest: ModelManifest, settings: Settings) -> bool:
    config = settings.config
    told = (manifest.lineage.uid, manifest.revision, manifest.precision)
    return told == (config.job.uid, config.job.revision, config.export.precision)


def _refuse_foreign(folder: Path, settings: Settings) -> None:
    """Refuse to replace another job's model folder."""
    found = publish.read_manifest(folder)
    if found is not None and found.lineage.uid != settings.config.job.uid:
        raise StageError(
            ExitCode.CONFIGURATION,
            "FolderTaken",
            f"{folder} holds a model of FineTuneJob {found.lineage.namespace}/{found.lineage.job} (uid {found.lineage.uid})",
            "Publish to another claim or path with output.destinations, or remove that model first.",
        )


def _publish_dir(settings: Settings) -> Path:
    if settings.publish_dir is None:
        raise StageError(
            ExitCode.CONFIGURATION,
            "EnvironmentIncomplete",
            f"environment variable {environment.PUBLISH_DIR}: it is not set, so the model folder has no path",
            "The operator sets it in every export pod. If you run the stage by hand, export it.",
        )
    return settings.publish_dir
