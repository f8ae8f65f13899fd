"""`tunewright delete`."""

import asyncio
from pathlib import Path

from tunewright.cli.console import home_at, out, told
from tunewright.cli.jobs import stored_job


def remove(key: tuple[str, str], *, keep_models: bool, home_folder: Path | None) -> None:
    """Delete a job, and say what stays."""
    home = home_at(home_folder)
    with told():
        stored_job(home, key)
        kept = asyncio.run(home.delete(key, keep_models=keep_models))
    out.print(f"FineTuneJob {key[0]}/{key[1]} deleted", markup=False)
    for folder in kept:
        out.print(f"kept: {folder}", markup=False)
