"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE_SECONDS = 60


def until(condition: Callable[[], Any], why: str, *, patience: float = PATIENCE_SECONDS) -> Any:
    """Wait for a condition and return what it gave; patience ends only where something is broken."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not true after {patience:.0f} s: {why}", pytrace=False)
        time.sleep(0.05)
    return found
