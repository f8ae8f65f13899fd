"""A port of this machine that leads to a port of a pod, as `kubectl port-forward` makes it: on 127.0.0.1, until its block ends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tunewright_runtime.errors import TunewrightError

LOOPBACK = "127.0.0.1"
CHUNK = 65536


@contextmanager
def forwarded(connect: Callable[[], Any], remote_port: int) -> Iterator["Forwarding"]:
    """Forward each connection through a new one from `connect` (UserClient.port_forward)."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        forwarding = Forwarding(listener, connect, remote_port)
        thread = threading.Thread(target=forwarding.accept, name="port-forward", daemon=True)
        thread.start()
        try:
            yield forwarding
        finally:
            forwarding.close()
            thread.join()


class Forwarding:
    """One forwarded port."""

    def __init__(self, listener: socket.socket, connect: Callable[[], Any], remote_port: int) -> None:
        self.port = int(listener.getsockname()[1])
        self.problem: TunewrightError | None = None
        self._listener = listener
        self._connect = connect
        self._remote_port = remote_port
        self._open: set[Any] = set()

    def accept(self) -> None:
        """Forward connections until `close`."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(near,), name="port-forward connection", daemon=True).start()

    def close(self) -> None:
        """End the listener and every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends `accept`
        self._listener.close()
        for end in list(self._open):
            _end(end)

    def _forward(self, near: socket.socket) -> None:
        with near:
            try:
                tunnel = self._connect()
            except TunewrightError as error:
                self.problem = error
                return
            far = tunnel.socket(self._remote_port)
            self._open |= {near, far}
            answers = threading.Thread(target=_copy, args=(far, near), name="port-forward answers", daemon=True)
            answers.start()
            _copy(near, far)
            answers.join()
            self._open -= {near, far}
            far.close()


def _copy(source: Any, target: Any) -> None:
    """Copy until the source or the target ends, then end both: HTTP needs no half-open connection."""
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
    except OSError:
        pass  # one side has ended: the other one is ended below
    finally:
        _end(source)
        _end(target)


def _end(side: Any) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
