"""DeepSpeed's shared-memory collectives for CPUs, compiled ahead of time and never during training.

By default DeepSpeed compiles them at the first start of every rank, with a lock file that stays locked if a rank is killed. Here
`prebuild` compiles them (in an image's build, `make setup`), and training loads the result without compiler, lock or writes. Without the
result, training uses gloo, somewhat slower, and logs that.
"""

import hashlib
import importlib.machinery
import importlib.util
import logging
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError

log = logging.getLogger(__name__)

_OP = "deepspeed_shm_comm"


def prebuild() -> None:
    """Compile into this Python environment, unless that is done. Raises `StageError` with the missing tool."""
    library = library_path()
    if library.is_file():
        log.info("%s is there already", library)
        return
    _require_tools()
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCH_EXTENSIONS_DIR"] = folder
        from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

        try:
            ShareMemCommBuilder().load(verbose=False)
        except Exception as error:
            raise StageError(
                ExitCode.CONFIGURATION,
                "OpNotBuilt",
                f"{_OP} does not compile: {error}",
                "See the compiler's output above; a C++17 compiler and the headers of this Python are needed.",
            ) from error
        (built,) = Path(folder).rglob(f"{_OP}.so")
        library.parent.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".{os.getpid()}")
        shutil.copyfile(built, partial)
        partial.replace(library)
    log.info("built %s", library)


def use_prebuilt() -> None:
    """Load the library of `prebuild` into DeepSpeed, or turn the op off. In both cases DeepSpeed compiles nothing."""
    import deepspeed
    from deepspeed.ops.op_builder.builder import OpBuilder

    library = library_path()
    if library.is_file():
        OpBuilder._loaded_ops[_OP] = _load(library)  # noqa: SLF001 - its own loader reads this first
        return
    deepspeed.ops.__compatible_ops__[_OP] = False
    log.warning("%s is missing, so ranks of one node use gloo; `python -m tunewright_trainer prebuild` makes them faster", library.name)


def library_path() -> Path:
    """Return the library's path, named after the libraries that it was compiled for. The processor is not part of the name: the op detects
    its instructions at run time, so an image works on every machine of its architecture.
    """
    made_for = "|".join((version("deepspeed"), version("torch"), platform.python_version(), platform.machine()))
    return Path(sys.prefix) / "share" / "tunewright" / f"{_OP}-{hashlib.sha256(made_for.encode()).hexdigest()[:12]}.so"


def _load(library: Path) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader(_OP, str(library))
    spec = importlib.util.spec_from_file_location(_OP, library, loader=loader)
    assert spec is not None  # noqa: S101 - a loader was given
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _require_tools() -> None:
    folder = str(Path(sys.executable).parent)  # pip installs ninja there, and torch finds it only on PATH
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    missing = [name for name in (os.environ.get("CXX", "c++"), "ninja") if shutil.which(name) is None]
    if missing:
        raise StageError(
            ExitCode.CONFIGURATION,
            "CompilerMissing",
            f"DeepSpeed's CPU collectives must be compiled once, and this machine has no {' and no '.join(missing)}",
            "Install a C++ compiler (Debian, Ubuntu: apt-get install g++), then run: python -m tunewright_trainer prebuild",
        )
