"""containerd for one node: its configuration, the pods' network, and images that come from archives instead of a registry."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from isolation import command
from needs import plugin_folder, what_is_missing
from processes import Processes, StartError
from slots import Slot

SOCKET = "/run/containerd/containerd.sock"  # inside the node's own /run
NAMESPACE = "k8s.io"  # the one that kubelet's images and containers live in


def configuration(folder: Path, *, plugins: Path, pause_image: str) -> str:
    """Return containerd's config.toml; root and state are the defaults, which are the node's own (isolation.py)."""
    return f"""
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {json.dumps(pause_image)}
  # A process without CAP_SYS_RESOURCE cannot give another a lower score than its own; without this, runc fails there.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = {json.dumps(str(plugins))}
  conf_dir = {json.dumps(str(folder / "cni"))}
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def configure(slot: Slot, *, pause_image: str) -> None:
    """Write the files that containerd reads into the slot's folder. Raises `StartError` without network plugins."""
    plugins = plugin_folder()
    if plugins is None:
        raise StartError(what_is_missing())
    (slot.folder / "cni").mkdir()
    (slot.folder / "cni" / "pods.conflist").write_text(pod_network(slot), encoding="utf-8")
    text = configuration(slot.folder, plugins=plugins, pause_image=pause_image)
    (slot.folder / "containerd.toml").write_text(text, encoding="utf-8")


def start(processes: Processes, enter: Sequence[str], configuration: Path) -> None:
    """Start it and wait until it answers."""
    processes.run("containerd", [*enter, "containerd", f"--config={configuration}"])
    asks = [*enter, "ctr", f"--address={SOCKET}", "version"]
    answers = lambda: subprocess.run(asks, capture_output=True, check=False).returncode == 0  # noqa: E731
    processes.wait_until(answers, "containerd answers", log_of="containerd")


def pod_network(slot: Slot) -> str:
    """Return the network's configuration.

    Every pod is at the end of a link of its own. With a bridge, two pods of one node would answer each other past the rules by which a
    Service's address is translated back, unless the machine has a further kernel module (br_netfilter).
    """
    ipam = {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": slot.pods}]], "routes": [{"dst": "0.0.0.0/0"}]}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]})


def load_image(enter: Sequence[str], archive: Path) -> list[str]:
    """Import a docker-archive or an oci-archive; return the names it brought."""
    said = command(*enter, "ctr", f"--address={SOCKET}", f"--namespace={NAMESPACE}", "images", "import", str(archive))
    return [line.split()[1] for line in said.splitlines() if line.startswith("unpacking ")]
