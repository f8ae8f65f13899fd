"""Runs a GitOps controller's own code, built from `tests/gitops/`: JSON in, JSON out. Without the program a test is skipped or fails."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from binaries import NoProgramsError
from go_programs import GoProgram
from levels import lacking


def ask(program: GoProgram, given: Sequence[Any], *arguments: str) -> list[Any]:
    """Return what the program prints: one entry for each object."""
    try:
        path = program.find()
    except NoProgramsError as reason:
        lacking(str(reason))
    done = subprocess.run([path, *arguments], input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))
