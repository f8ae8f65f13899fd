# pathlib would take most of this process's memory, and there is one process per container:
# ruff: noqa: PTH105, PTH110, PTH118, PTH123, PTH208
"""One process per running container, as containerd-shim is: `python -m tunewright.local.shim <run folder>`.

It starts the container's process, continues when its own parent is killed, and records how the process ended.
Reads `container.json` {argv, env, cwd, log, memoryLimitBytes, graceSeconds}; writes `shim.json` {pid, identity, containerPid, startedAt}
and, last, `exit.json` {exitCode, reason, startedAt, finishedAt}. A run starts once: a second shim on the same folder exits at once.

SIGTERM: the container gets SIGTERM, and SIGKILL after `graceSeconds`. SIGINT: SIGKILL at once.
A container is its first process and all descendants; when the first ends, the shim kills the rest. If the shim is killed, the kernel kills
the first. It imports little, because it stays in memory while the container runs.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

MEMORY_POLL_SECONDS = 0.25
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before fork: dlopen in the child could deadlock


def main(folder: str) -> int:
    """Run one container to its end. Returns this process's own exit code, which does not depend on the container's."""
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    if any(os.path.exists(os.path.join(folder, name)) for name in ("shim.json", "exit.json")):
        return 0
    with open(os.path.join(folder, "container.json"), encoding="utf-8") as file:
        container = json.load(file)
    ended = run(folder, container)
    while True:
        try:
            write(folder, "exit.json", ended)
        except FileNotFoundError:  # the pod was removed
            return 0
        except OSError as error:  # a full disk: retry, so that the container's end is recorded
            print(f"cannot write exit.json: {error}", file=sys.stderr, flush=True)  # noqa: T201 - its own log
            time.sleep(1.0)
        else:
            return 0


def run(folder: str, container: dict[str, Any]) -> dict[str, Any]:
    """Start the container, watch it, and return how it ended."""
    # Signals are blocked until `watch` fetches them, so none is lost between two checks.
    wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.time()
    write(folder, "shim.json", {"pid": os.getpid(), "identity": identity(os.getpid()), "containerPid": None, "startedAt": started})
    try:
        process = start(container)
    except OSError as error:
        with open(container["log"], "a", encoding="utf-8") as file:
            file.write(f"could not start {container['argv'][0]}: {error.strerror}\n")
        # 127 and 126: a shell's exit codes for a missing command, and for one that cannot be executed.
        code = 127 if isinstance(error, FileNotFoundError) else 126
        return {"exitCode": code, "reason": "StartError", "startedAt": started, "finishedAt": time.time()}
    write(folder, "shim.json", {"pid": os.getpid(), "identity": identity(os.getpid()), "containerPid": process.pid, "startedAt": started})
    reason = watch(process, container, wanted)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return {
        "exitCode": 137 if reason == "OOMKilled" else code,
        "reason": reason or ("Completed" if code == 0 else "Error"),
        "startedAt": started,
        "finishedAt": time.time(),
    }


def start(container: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start the container's first process in a session of its own, its output appended to the log."""
    shim = os.getpid()

    def in_child() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != shim:  # the shim ended between fork and prctl
            os._exit(137)

    with open(container["log"], "ab", buffering=0) as log:
        return subprocess.Popen(
            container["argv"],
            env=container["env"],
            cwd=container["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=in_child,  # noqa: PLW1509 - prctl must happen in the child; this process has one thread
        )


def watch(process: "subprocess.Popen[bytes]", container: dict[str, Any], wanted: set[signal.Signals]) -> str:
    """Wait for the end, pass signals on, and enforce the memory limit. Returns `OOMKilled` or an empty text."""
    limit = container.get("memoryLimitBytes")
    kill_at: float | None = None
    reason = ""
    while process.poll() is None:
        timeout = MEMORY_POLL_SECONDS if limit else 3600.0
        if kill_at is not None:
            timeout = min(timeout, max(kill_at - time.monotonic(), 0.0))
        received = signal.sigtimedwait(wanted, timeout)
        if received is not None and received.si_signo == signal.SIGTERM and kill_at is None:
            kill_at = time.monotonic() + float(container["graceSeconds"])
            process.send_signal(signal.SIGTERM)
        if received is not None and received.si_signo == signal.SIGINT:
            kill_at = time.monotonic()
        if limit and not reason and memory(descendants(os.getpid()), limit) > limit:
            reason = "OOMKilled"
            kill_at = time.monotonic()
        if kill_at is not None and time.monotonic() >= kill_at:
            kill_all()
            kill_at = time.monotonic() + 1.0  # the next round kills processes that were forked meanwhile
        reap(process)
    while descendants(os.getpid()):
        kill_all()
        reap(process)
        time.sleep(0.01)
    return reason


def kill_all() -> None:
    """Kill every process of the container."""
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def reap(process: "subprocess.Popen[bytes]") -> None:
    """Reap the orphans that this process has inherited as subreaper, except the first process, which `poll` reaps."""
    for pid in children(os.getpid()):
        if pid != process.pid:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue


def children(pid: int) -> list[int]:
    """Return the direct children of a process, of all its threads."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        return found  # it ended meanwhile
    return found


def descendants(pid: int) -> list[int]:
    """Return all descendants of a process."""
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]


def memory(pids: list[int], limit: int) -> int:
    """Return the bytes that cannot be reclaimed: anonymous and shared memory, shared pages by share (PSS).

    File pages do not count, as in the kernel's out-of-memory decision: mapped weights can always be read again.
    For the exact count the kernel visits all pages, so it is read only if the cheap upper bound (RSS) exceeds `limit`.
    """
    bound = sum(resident(pid) for pid in pids)
    if bound <= limit:
        return bound
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                fields = dict(line.split(":", 1) for line in file if ":" in line)
        except OSError:
            continue  # it ended meanwhile
        total += sum(int(fields[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem") if name in fields)
    return total * 1024


def resident(pid: int) -> int:
    """Return a process's resident bytes, shared ones included."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def identity(pid: int) -> str:
    """Return an identity that no other process with this pid has: the boot id, and its start in ticks since then (proc(5), field 22).

    Raises OSError if there is no such process. Returns "" for a zombie.
    """
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return "" if fields[0] == "Z" else f"{file.read().strip()}:{fields[19]}"


def write(folder: str, name: str, value: dict[str, Any]) -> None:
    """Write JSON atomically."""
    scratch = os.path.join(folder, f".{name}")
    with open(scratch, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, os.path.join(folder, name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
