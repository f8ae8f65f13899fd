"""Shared by the tests of `examples/`: paths, and the data, read once."""

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def examples() -> Path:
    return EXAMPLES


@pytest.fixture(scope="session")
def model_folder(examples) -> Path:
    return examples / "base-model" / "model"


@pytest.fixture(scope="session")
def support(examples) -> dict[str, list[list[dict[str, str]]]]:
    """The dialogues of each part of the quickstart's data."""
    return {
        part: [
            json.loads(line)["messages"] for line in (examples / "data" / f"support-{part}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for part in ("train", "validation", "test")
    }
