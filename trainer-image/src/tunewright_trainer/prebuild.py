"""DeepSpeed's shared-memory collectives, compiled once, ahead of time, instead of by every first rank at once.

Promises that training starts without a compiler when `prebuild` ran before. Refuses, with the command that helps, when neither holds.
"""

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.exits import StageError

log = logging.getLogger(__name__)

_DIRECTORY = "TORCH_EXTENSIONS_DIR"
_OP = "deepspeed_shm_comm"


def prebuild() -> None:
    """Compile into `TORCH_EXTENSIONS_DIR`, by default a folder of this Python environment. Raises `StageError` without a compiler."""
    os.environ.setdefault(_DIRECTORY, str(_default_directory()))
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    _require_tools()
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

    try:
        ShareMemCommBuilder().load(verbose=False)
    except Exception as error:
        raise StageError(
            ExitCode.CONFIGURATION,
            "OpNotBuilt",
            f"{_OP} does not compile: {error}",
            "See the compiler's words above; a C++17 compiler and the headers of this Python are needed.",
        ) from error
    log.info("%s is built in %s", _OP, os.environ[_DIRECTORY])


def use_prebuilt() -> None:
    """Point torch at what `prebuild` made. A read-only image's folder is copied first: torch takes a lock file beside the op."""
    folder = Path(os.environ.setdefault(_DIRECTORY, str(_default_directory())))
    if not any(folder.rglob(f"{_OP}*.so")):
        _require_tools()
        log.warning("%s is not prebuilt in %s: compiling it now, which takes about a minute", _OP, folder)
        folder.mkdir(parents=True, exist_ok=True)
    elif not os.access(folder, os.W_OK):
        copy = Path(tempfile.mkdtemp(prefix="tunewright-ops-"))
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        os.environ[_DIRECTORY] = str(copy)


def _default_directory() -> Path:
    return Path(sys.prefix) / "share" / "tunewright" / "torch-extensions"


def _require_tools() -> None:
    compiler = os.environ.get("CXX", "c++")
    missing = [name for name in (compiler, "ninja") if shutil.which(name) is None and not _beside_python(name)]
    if missing:
        raise StageError(
            ExitCode.CONFIGURATION,
            "CompilerMissing",
            f"DeepSpeed's CPU collectives must be compiled once, and this machine has no {' and no '.join(missing)}",
            "Install a C++ compiler (Debian, Ubuntu: apt-get install g++), then run: python -m tunewright_trainer prebuild",
        )


def _beside_python(name: str) -> bool:
    """A tool of this Python environment, which torch finds only on PATH."""
    folder = Path(sys.executable).parent
    if not (folder / name).exists():
        return False
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return True
