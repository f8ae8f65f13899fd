"""A program that has imported the operator and forks one on request, so that a start needs no imports.

A line of JSON on standard input asks, a line on standard output answers: {"start": environment, "log": path} -> the process's number,
{"poll": number} -> its exit code, or null while it runs. It ends with its standard input, and takes all operators along.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from kubernetes.config import kube_config


def _nurse() -> None:
    """Fork on request, until the input ends."""
    from tunewright.shell import __main__ as operator
    from tunewright.shell import app  # noqa: F401 - imported here, so that no fork has to

    children: dict[int, int | None] = {}  # and the codes with which they ended: two may ask at once
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            pid = os.fork()
            if pid == 0:
                _become(operator, asked)
            children[pid] = None
            answer: int | None = pid
        else:
            answer = children[asked["poll"]] = _code_of(asked["poll"], children[asked["poll"]])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid, code in children.items():
        if _code_of(pid, code) is None:
            os.kill(pid, signal.SIGKILL)


def _code_of(pid: int, known: int | None) -> int | None:
    if known is not None:
        return known
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _become(operator: Any, asked: Mapping[str, Any]) -> None:
    code = 1
    try:
        nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(asked["start"])
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ["KUBECONFIG"]  # which the client read when it was imported
        code = operator.main()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _nurse()
