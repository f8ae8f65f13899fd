"""A home folder for each test, with jobs as the operator stores them, and the command line in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stored_jobs import make_raw
from typer.testing import CliRunner

from tunewright.cli.main import app
from tunewright.local.app import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", environ={})


@pytest.fixture
def stored(home: Home, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Store a job, with a status."""

    def store(status: dict[str, Any] | None = None, raw: dict[str, Any] | None = None) -> tuple[str, str]:
        key = home.apply(raw or make_raw(), tmp_path)
        if status is not None:
            home.store.change_status("FineTuneJob", *key, lambda job: job.update(status=json.loads(json.dumps(status))))
        return key

    return store


@pytest.fixture
def call(home: Home):
    """Call a command as a shell would."""

    def run(*arguments: str, typed: str | None = None):
        return CliRunner().invoke(app, list(arguments), env={"TUNEWRIGHT_HOME": str(home.layout.home)}, input=typed)

    return run


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], Path]:
    """Write a manifest."""

    def write(text: str, name: str = "job.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
