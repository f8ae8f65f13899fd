"""What a whole node needs of a machine beside the programs that are built. Standard library only: `make doctor` reads it on a bare Python."""

from __future__ import annotations  # Pythons that are too old also run this file, to report it

import os
import platform
import shutil
import subprocess
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = {  # what is looked for -> the Debian package that has it
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "openssl": "openssl",
}
PLUGIN_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")  # Debian's, the upstream releases', Fedora's
PLUGINS = ("ptp", "host-local", "loopback")
PLUGIN_PACKAGE = "containernetworking-plugins"
POLICY_PROGRAMS = {"ipset": "ipset", "iptables": "iptables"}  # of the program that enforces NetworkPolicies
IMAGE_BUILDERS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}


def plugin_folder() -> Path | None:
    """Return the folder that has the network plugins."""
    return next((Path(folder) for folder in PLUGIN_FOLDERS if all(Path(folder, plugin).exists() for plugin in PLUGINS)), None)


def missing_packages(*, with_builders: bool = False, with_policies: bool = False) -> list[str]:
    """Return the Debian packages without which no node runs here; with those that build its images, or that enforce NetworkPolicies."""
    programs = {**PROGRAMS, **(IMAGE_BUILDERS if with_builders else {}), **(POLICY_PROGRAMS if with_policies else {})}
    lacking = {package for program, package in programs.items() if shutil.which(program, path=SYSTEM_PATH) is None}
    if plugin_folder() is None:
        lacking.add(PLUGIN_PACKAGE)
    return sorted(lacking)


def what_is_missing() -> str:
    """Return why no node can run here, and what would change that; nothing if one can."""
    if platform.system() != "Linux":
        return "a node needs Linux"
    if os.geteuid() != 0:
        return "a node needs root (containerd and kubelet mount and make network devices): run as root, or let KUBECONFIG name a cluster"
    lacking = missing_packages()
    if lacking:
        return f"a node needs packages that are not here: apt-get install -y {' '.join(lacking)}"
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return (
            f"a node needs namespaces of its own, which are refused here ({tried.stderr.strip()}): use a machine or a privileged container"
        )
    return ""
