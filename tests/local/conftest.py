"""A home folder for each test; processes that a test leaves running are killed."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from local_cluster import Cluster

from tunewright.local.app import Home
from tunewright.local.container import kill_leftovers
from tunewright.local.files import read_json


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home", environ={**os.environ, "HF_TOKEN": "hf_canary"})
    home.prepare()
    yield home
    for path in home.layout.pods.glob("*/*/runs/*/container.json"):
        if not (path.parent / "exit.json").exists():
            kill_leftovers(read_json(path)["env"]["TUNEWRIGHT_POD_UID"])


@pytest.fixture
async def cluster(home: Home):
    machine = home.machine(("default", "demo"))
    yield Cluster(home, machine)
    await machine.stop(at_once=lambda: True)
    await machine.close()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    (folder / "model").mkdir(parents=True)
    (folder / "chat.jsonl").write_text('{"messages": []}\n' * 3)
    return folder
