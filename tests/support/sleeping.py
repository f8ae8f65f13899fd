"""Another `sleep` for one module alone. Other threads of a test's process sleep, too, and must not be counted."""

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest


def replace_sleep(monkeypatch: pytest.MonkeyPatch, module: str, sleep: Callable[[float], Any], *, library: str = "asyncio") -> None:
    """Let `module` call `sleep` in place of that of `library`, which it imports as a whole."""
    found = importlib.import_module(module)
    monkeypatch.setattr(found, library, SimpleNamespace(**(vars(getattr(found, library)) | {"sleep": sleep})))
