"""DeepSpeed's collectives: used when prebuilt, done without when not, refused with the way out when they cannot be built."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gang import WarmGang, Workspace, deepspeed, job

from tunewright_contract.exit_codes import ExitCode


def test_without_a_compiler_prebuild_names_its_package() -> None:
    script = (
        "import sys, pathlib; from tunewright_trainer.distributed import prebuild;"
        "prebuild.library_path = lambda: pathlib.Path('/nowhere/op.so');"
        "from tunewright_trainer.__main__ import main; sys.exit(main(['prebuild']))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "CXX": "no-such-compiler"}, capture_output=True, text=True, check=False
    )

    assert ended.returncode == ExitCode.CONFIGURATION
    assert "no no-such-compiler" in ended.stderr
    assert "apt-get install g++" in ended.stderr


@pytest.mark.slow
def test_training_never_compiles(gang: WarmGang, space: Workspace, tmp_path: Path) -> None:
    nothing = tmp_path / "no-tools"
    nothing.mkdir()

    codes = gang.run(space, job(worldSize=2, deepspeed=deepspeed(2)), extra={"PATH": str(nothing), "TORCH_EXTENSIONS_DIR": str(nothing)})

    assert codes == [ExitCode.DONE, ExitCode.DONE], (space.root / "pod" / "log").read_text()[-4000:]
    assert not list(nothing.iterdir())
