"""An image of one static program, written as a docker-archive without any tool that builds images."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

PATH = "/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's name for it, and Go's, which images use


def write_image(archive: Path, *, name: str, program: Path, command: list[str]) -> None:
    """Write an image in which `program` is /bin/<its name> and which runs `command` as user 65532.

    Format: Docker Image Specification v1.2, as `docker load` and `ctr images import` read it.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program, arcname=f"bin/{program.name}", filter=_anonymous)
    config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Cmd": command, "Env": [f"PATH={PATH}"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, mode="w") as tar:
        for member, content in {
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer.getvalue(),
            "manifest.json": json.dumps(manifest).encode(),
        }.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755
    return member
