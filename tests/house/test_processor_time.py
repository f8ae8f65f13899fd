"""`pytest --processor-time` counts what the processes of a test use, too."""

import os
import subprocess
import sys
from pathlib import Path

import cgroups
import pytest

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


@pytest.fixture
def group():
    name = f"tunewright-tests-of-the-count-{os.getpid()}"
    yield name
    cgroups.remove(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups need root")
def test_a_group_counts_processes_that_have_ended_and_their_children(group):
    program = f"import cgroups, subprocess, sys; cgroups.enter({group!r}); subprocess.run([sys.executable, '-c', {BUSY!r}])"
    environment = os.environ | {"PYTHONPATH": str(Path(cgroups.__file__).parent)}

    subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    assert cgroups.processor_seconds(group) >= 0.3


def test_a_group_that_is_not_there_has_used_nothing():
    assert cgroups.processor_seconds("tunewright-tests-of-no-process") == 0.0
