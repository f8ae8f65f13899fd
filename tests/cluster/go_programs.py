"""Go programs of the tests that are no part of Kubernetes: each has a module of its own beside the tests that run it. Standard library only.

They are built apart from binaries.py's, so that a change of one does not build the others again.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from binaries import BUILD_ENVIRONMENT, HERE, NoProgramsError, cache


@dataclass(frozen=True)
class GoProgram:
    """The program that the module in `source` makes. `python tests/cluster NAME` builds it. `shared`: modules beside it that it imports."""

    name: str
    source: Path
    shared: tuple[Path, ...] = ()

    def find(self) -> Path:
        """Return the program: from `KUBEBUILDER_ASSETS` if that has it, else the one that was built. Raises `NoProgramsError`."""
        named = Path(os.environ.get("KUBEBUILDER_ASSETS") or os.devnull) / self.name
        found = next((path for path in (named, self._built()) if path.is_file()), None)
        if found is None:
            raise NoProgramsError(
                f"{self.name} is not built yet: `python {HERE.parent.name}/{HERE.name} {self.name}` brings {self._built()}"
            )
        return found

    def build(self) -> Path:
        """Return the program, built if need be. Raises `NoProgramsError` without Go, and CalledProcessError when the build fails."""
        try:
            return self.find()
        except NoProgramsError:
            if shutil.which("go") is None:
                raise
        cache().mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{self.name}-", dir=cache()))
        try:
            command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(making / self.name), "."]
            subprocess.run(command, cwd=self.source, env={**os.environ, **BUILD_ENVIRONMENT}, check=True)
            (making / self.name).rename(self._built())
        finally:
            shutil.rmtree(making)
        return self._built()

    def _built(self) -> Path:
        digest = sha256()
        for folder in (self.source, *self.shared):
            for file in sorted(folder.iterdir()):
                digest.update(sha256(file.read_bytes()).digest())
        return cache() / f"{self.name}-{digest.hexdigest()[:16]}"
