"""A built image, run by runc as a kubelet would have it run: a user without rights, a read-only root, and /tmp to write to.

Its files come from the store of the engine that built it. The network is the machine's own, so that a test can ask what it serves.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import images

USER = 65532
_KERNEL = (
    ("/proc", "proc", ()),
    ("/dev", "tmpfs", ("nosuid", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", ("newinstance", "ptmxmode=0666", "mode=0620")),
    ("/dev/shm", "tmpfs", ("nosuid", "nodev", "mode=1777")),
    ("/tmp", "tmpfs", ("nosuid", "nodev", "mode=1777")),
)


def what_is_missing(name: str) -> str:
    """Return what keeps an image from being run here; nothing if it can be."""
    if os.geteuid() != 0:
        return "running an image needs root"
    programs = [program for program in ("buildah", "runc") if shutil.which(program) is None]
    if programs:
        return f"running an image needs {' and '.join(programs)} (Debian, Ubuntu: apt-get install {' '.join(programs)})"
    if name not in images.archives():
        return f"the image {name} is not built from this state of the sources: `make images`, without a registry `make test-images`"
    return ""


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image whose files are mounted at `root`; `config` is its OCI configuration."""

    root: Path
    config: Mapping[str, Any]

    @property
    def variables(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    def run(self, *words: str, user: int = USER, timeout: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; without words, the entry point."""
        with self._bundle(words, user, variables, {}) as command:
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout)

    def python(self, program: str, **more: Any) -> str:
        """Run Python source and return what it printed; a failure is the test's."""
        ended = self.run("python", "-c", program, **more)
        assert ended.returncode == 0, ended.stderr[-4000:]
        return ended.stdout.strip()

    @contextlib.contextmanager
    def running(self, *words: str, folders: Mapping[str, Path], **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run in the background, with folders of this machine mounted read-only, and end it in the end."""
        with self._bundle(words, USER, variables, folders) as command:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            try:
                yield process
            finally:
                subprocess.run(["runc", "kill", command[-1], "KILL"], capture_output=True, check=False)
                process.wait(timeout=60)

    @contextlib.contextmanager
    def _bundle(self, words: Sequence[str], user: int, variables: Mapping[str, str], folders: Mapping[str, Path]) -> Iterator[list[str]]:
        with tempfile.TemporaryDirectory() as bundle:
            environment = self.variables | variables
            mounts = [{"destination": path, "type": kind, "source": kind, "options": list(options)} for path, kind, options in _KERNEL]
            mounts += [
                {"destination": path, "type": "bind", "source": str(folder), "options": ["rbind", "ro"]} for path, folder in folders.items()
            ]
            process = {
                "user": {"uid": user, "gid": user},
                "args": list(words or self.config["Entrypoint"]),
                "env": [f"{name}={value}" for name, value in environment.items()],
                "cwd": self.config["WorkingDir"],
                "noNewPrivileges": True,
            }
            kernel = {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]}
            root = {"path": str(self.root), "readonly": True}
            specification = {"ociVersion": "1.0.2", "process": process, "root": root, "mounts": mounts, "linux": kernel}
            Path(bundle, "config.json").write_text(json.dumps(specification), encoding="utf-8")
            name = f"tunewright-test-{uuid.uuid4().hex[:8]}"
            try:
                yield ["runc", "run", "--bundle", bundle, name]
            finally:
                subprocess.run(["runc", "delete", "--force", name], capture_output=True, check=False)


@contextlib.contextmanager
def mounted(name: str) -> Iterator[BuiltImage]:
    """Mount a built image's files; they are not copied."""
    archive = images.archives()[name]
    tag = images.tag(archive)
    known = subprocess.run(["buildah", "inspect", "--type=image", tag], capture_output=True, check=False).returncode == 0
    container = _buildah("from", tag if known else f"oci-archive:{archive}")  # the archive can exist without the store
    try:
        inspected = json.loads(_buildah("inspect", "--type=container", container))
        yield BuiltImage(root=Path(_buildah("mount", container)), config=inspected["OCIv1"]["config"])
    finally:
        _buildah("rm", container)


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()
