"""Finds the paths of a job's results on this machine, from its status alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.local.app import Home

_CLAIM_SCHEME = "pvc://"


def model_folder(home: Home, job: Mapping[str, Any]) -> Path | None:
    """Return the folder of the newest exported model; None when nothing is exported yet."""
    artifacts = job.get("status", {}).get("artifacts") or []
    if not artifacts:
        return None
    claim, _, folder = str(artifacts[0]["uri"]).removeprefix(_CLAIM_SCHEME).partition("/")
    return home.layout.claim(str(job["metadata"]["namespace"]), claim) / folder


def output_folder(home: Home, job: Mapping[str, Any]) -> Path | None:
    """Return the folder of checkpoints, of the trained weights and of metrics.jsonl; None before training."""
    from tunewright.plan.names import names_of
    from tunewright.plan.storage import RUNS_FOLDER

    meta, status = job["metadata"], job.get("status", {})
    if "revision" not in status:
        return None
    storage = ((job["spec"].get("output") or {}).get("storage")) or {}
    claim = storage.get("claimName") or names_of(meta["name"]).output
    return home.layout.claim(str(meta["namespace"]), str(claim)) / RUNS_FOLDER / str(meta["name"]) / str(status["revision"])
