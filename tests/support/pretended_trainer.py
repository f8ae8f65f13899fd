"""Pods that run tests/support/fake_trainer instead of the trainer: its command is the one thing that is replaced."""

from pathlib import Path

import pytest

from tunewright_contract.stages import STAGES

# Through /proc, because a path below /tmp would be taken for the pod's own: this repository may be checked out there.
PLACE = f"/proc/self/root{Path(__file__).parent / 'fake_trainer' / 'tunewright_trainer'}"


@pytest.fixture
def pretended_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render pods whose trainer only pretends."""
    for stage in STAGES:
        if "tunewright_trainer" in stage.command:
            monkeypatch.setitem(stage.__dict__, "command", ("python", PLACE, stage.command[-1]))
