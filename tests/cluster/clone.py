"""Images of one node for another: the files of containerd's stores as hard links, which take seconds and no room.

containerd never writes to a layer that is complete. What it does write (two databases) is copied. The databases also list the containers of
the first node; they are removed from the copy before its kubelet sees them.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from containerd import NAMESPACE, SOCKET
from slots import Slot

SHARED = ("io.containerd.content.v1.content", "io.containerd.snapshotter.v1.overlayfs")
DATABASES = ("io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db")


def clone_images(source: Slot, target: Slot) -> None:
    """Give a node that has not started the images of one that runs."""
    there, here = (slot.folder / "lib" / "containerd" for slot in (source, target))
    here.mkdir(parents=True, exist_ok=True)
    for store in SHARED:
        # A file that a container of the first node removes meanwhile is missing here too, which its removal below permits.
        subprocess.run(["cp", "--archive", "--link", str(there / store), str(here)], capture_output=True, check=False)
    for database in DATABASES:
        (here / database).parent.mkdir(parents=True, exist_ok=True)
        (here / database).unlink(missing_ok=True)
        shutil.copyfile(there / database, here / database)


def forget_containers(enter: Sequence[str]) -> None:
    """Remove the containers of the first node from the copy."""
    ctr = [*enter, "ctr", f"--address={SOCKET}", f"--namespace={NAMESPACE}"]
    listed = subprocess.run([*ctr, "containers", "list", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
    if listed:
        subprocess.run([*ctr, "containers", "remove", *listed], capture_output=True, check=True)


def without_kubernetes(configuration: Path) -> Path:
    """Return the path of a containerd configuration that does not start what kubelet uses."""
    path = configuration.with_name("containerd-bare.toml")
    path.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n', encoding="utf-8")
    return path
