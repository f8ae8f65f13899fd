"""The first process inside a node's namespaces: it prepares the mounts, prints its pid, and then is the parent of all orphans there.

Called by isolation.py with the node's folder. When it ends, the kernel ends every process in its process namespace.
"""

import signal
import subprocess
import sys
from pathlib import Path

OWN = {"lib/kubelet": "/var/lib/kubelet", "lib/containerd": "/var/lib/containerd", "log": "/var/log"}


def main(folder: Path) -> None:
    pid = str(Path("/proc/self").readlink())  # the process id outside: this /proc is still the machine's
    mount("proc", "/proc", "-t", "proc")
    mount("tmpfs", "/run", "-t", "tmpfs", "-o", "mode=755")
    mount("tmpfs", "/var/lib", "-t", "tmpfs", "-o", "mode=755")
    for own, default in OWN.items():
        (folder / own).mkdir(parents=True, exist_ok=True)
        Path(default).mkdir(exist_ok=True)
        mount(str(folder / own), default, "--bind")
    mount("--make-rshared", "/")  # among the node's own programs: containers see what kubelet mounts
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
    Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text(
        "0", encoding="ascii"
    )  # every pod gets an immediate error for an unreachable address
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans end here, and their exit codes are not needed
    telling = folder / "namespaces.pid.new"
    telling.write_text(pid, encoding="ascii")
    telling.rename(folder / "namespaces.pid")
    while True:
        signal.pause()


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
