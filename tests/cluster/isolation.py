"""Kernel namespaces for one node: network, mounts and processes, all of which are gone when the process that made them is.

What containers, shims and kubelet start or mount is inside, so the kernel itself ends and unmounts it: also after `kill -9`, and without
a list of what to clean. Inside, the default folders of containerd and kubelet are the node's own, so that nothing of a containerd which
the machine may run is seen or touched.

The node's network:

- One link leads to the machine, and the machine has routes to the node, its Services and its pods over it: a test's clients need no
  `nsenter`. No other device of the machine is in the namespace, so this link is the only way out there is.
- Nothing a pod sends leaves: towards that link only answers are let through (nftables), every other destination outside is
  unreachable (by a route of that type, so connections are refused at once instead of timing out), and pods have no IPv6 address but their
  link's. A pod with `hostNetwork`, which the restricted standard forbids, reaches this machine over the link, and nothing beyond it.

Why a link of its own and not `nsenter` for every client: Python clients in the tests then need nothing special, and what else would let
them in (a proxy, a forwarded port) is one more process that can fail. It takes no right beyond those that make the namespaces.
"""

import subprocess
import sys
from pathlib import Path

from processes import Processes
from slots import Slot

HERE = Path(__file__).resolve().parent
PROCESS = "namespaces"
INNER_LINK = "machine"  # the link's name inside
NETWORK_RULES = f"""
table inet tunewright {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname "{INNER_LINK}" ct state established,related accept
    oifname "{INNER_LINK}" reject with icmpx type admin-prohibited
  }}
}}
"""


class Namespaces:
    """The namespaces of one slot, alive as long as the process `namespaces` is."""

    def __init__(self, slot: Slot, processes: Processes) -> None:
        self.slot = slot
        self._processes = processes
        self.pid = 0

    def start(self) -> int:
        """Make them, and the link to the machine. Returns the process that holds them, whose end is theirs."""
        ready = self.slot.folder / "namespaces.pid"
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
        self._processes.run(PROCESS, [*unshare, sys.executable, str(HERE / "inside.py"), str(self.slot.folder)])
        self._processes.wait_until(ready.exists, "the namespaces are made", log_of=PROCESS)
        self.pid = int(ready.read_text())
        self._link()
        return self.pid

    @property
    def enter_network(self) -> tuple[str, ...]:
        """The words before a command that runs in the node's network and is otherwise the machine's."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that runs on the node."""
        return ("nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--")

    def _link(self) -> None:
        slot = self.slot
        command("ip", "link", "add", slot.link, "type", "veth", "peer", "name", INNER_LINK, "netns", str(self.pid))
        command("ip", "address", "add", f"{slot.machine_address}/30", "dev", slot.link)
        command("ip", "link", "set", slot.link, "up")
        command(*self.enter_network, "ip", "address", "add", f"{slot.address}/30", "dev", INNER_LINK)
        command(*self.enter_network, "ip", "link", "set", INNER_LINK, "up")
        command(*self.enter_network, "ip", "route", "add", "unreachable", "default")
        command(*self.enter_network, "nft", "-f", "-", stdin=NETWORK_RULES)
        for there in slot.services, slot.pods:
            command("ip", "route", "add", there, "via", slot.address, "dev", slot.link)


def command(*words: str, stdin: str | None = None) -> str:
    """Run a command to its end and return its output. Raises RuntimeError with its error output."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
