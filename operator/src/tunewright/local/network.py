"""Ports and names on one machine: a declared port becomes a free port of the loopback interface, a Service's name becomes 127.0.0.1."""

import random
import re
import socket
from collections.abc import Collection

import psutil

LOOPBACK = "127.0.0.1"
# Below the range from which Linux picks ports for outgoing connections (32768 on): nobody is given one of these by chance.
LOWEST, HIGHEST = 20000, 32000
TRIES = 200


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what lingers from closed connections is in nobody's way
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """Choose a port on which nobody listens. Another process may still take it before it is used; see `is_stolen`."""
    for _ in range(TRIES):
        port = random.randrange(LOWEST, HIGHEST)  # noqa: S311 - not a secret
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {LOWEST} and {HIGHEST} on {LOOPBACK}")


def is_stolen(port: int, ours: Collection[int]) -> bool:
    """Return whether somebody other than the processes `ours` listens on this port."""
    if is_free(port):
        return False
    listeners = [found for found in psutil.net_connections("tcp") if found.status == psutil.CONN_LISTEN and found.laddr.port == port]
    return bool(listeners) and all(found.pid is None or found.pid not in ours for found in listeners)


def resolve(name: str, value: str, *, namespace: str, services: Collection[str]) -> str:
    """Return the value of an environment variable as it must read here.

    Only variables that name an address are looked at (…ADDR, …HOST, …ENDPOINT): a model may be called like its Service.
    """
    if not name.endswith(("ADDR", "HOST", "ENDPOINT")):
        return value
    if value in ("0.0.0.0", "::"):  # noqa: S104 - all interfaces of a pod; on a person's machine that would be the whole network
        return LOOPBACK
    for service in services:
        full = rf"(?<![\w.-])([a-z0-9-]+\.)?{re.escape(service)}(\.{re.escape(namespace)}(\.svc(\.cluster\.local)?)?)?(?![\w.-])"
        value = re.sub(full, LOOPBACK, value)
    return value
