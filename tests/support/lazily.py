"""Modules that are imported when a test first uses them.

torch, transformers and what builds on them cost about 9 s of processor time to import, and each worker of pytest-xdist imports every test file.
A test file therefore names them with `torch = lazily("torch")` instead of `import torch`, and quotes them in annotations.
tests/house/test_collection.py finds the files that do not.
"""

import sys
from collections.abc import Generator
from importlib import import_module
from typing import Any

import pytest

HEAVY = frozenset({"accelerate", "bitsandbytes", "datasets", "deepspeed", "onnx", "peft", "torch", "transformers", "trl"})
IMPORTED = pytest.StashKey[dict[str, str]]()


class Lazy:
    """Stands for a module, to be read. To patch the module, give `monkeypatch.setattr` its name as text."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest looks for such attributes on every name of a test file
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)


def lazily(name: str) -> Any:
    """Return what stands for the module of this name."""
    return Lazy(name)


def watched(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Collect, and note in the session's stash which heavy modules have been imported, and the first file that was collected then."""
    report = yield
    noted = collector.config.stash.setdefault(IMPORTED, {})
    noted.update({name: collector.nodeid for name in HEAVY & sys.modules.keys() if name not in noted})
    return report
