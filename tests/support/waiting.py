"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE_SECONDS = 60
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.25  # seconds


def until(condition: Callable[[], Any], why: str, *, patience: float = PATIENCE_SECONDS) -> Any:
    """Wait for a condition and return what it gave; patience ends only where something is broken.

    A pause is a tenth of the time that has passed, because each look takes processor time from what is waited for.
    """
    began = time.monotonic()
    while not (found := condition()):
        passed = time.monotonic() - began
        if passed > patience:
            pytest.fail(f"not true after {patience:.0f} s: {why}", pytrace=False)
        time.sleep(min(max(passed / 10, SHORTEST_PAUSE), LONGEST_PAUSE))
    return found
