"""Runs a chat template in a separate process, which is killed if it takes too long or too much memory.

Jinja's sandbox limits neither: a template with nested loops, or one that doubles a text, would block the interpreter or fill memory.
Protocol: one JSON value per line. Messages go to the process; the text or an error comes back.
"""

import contextlib
import json
import os
import resource
import select
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tunewright_contract import environment
from tunewright_server.text.chat_template import TemplateRefusedError, load_chat_template

RENDER_SECONDS = 5.0
MEMORY_BYTES = 2**30  # of address space, the interpreter's own included


class Template(Protocol):
    """Renders messages to text."""

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Raises `TemplateRefusedError`."""


class TemplateProcess:
    """Renders with the template of a model's folder, one conversation at a time. May be called from any thread."""

    def __init__(self, folder: Path, *, seconds: float = RENDER_SECONDS) -> None:
        self._folder = folder
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the text. Raises `TemplateRefusedError`, also if the template exceeds its time or memory."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = self._start()
            try:
                reply = self._exchange(self._process, json.dumps(messages).encode() + b"\n")
            except OSError:  # it has ended
                reply = b""
            if not reply.endswith(b"\n"):
                self.close()
                msg = f"it needs more than {self._seconds:g} seconds or {MEMORY_BYTES} bytes"
                raise TemplateRefusedError(msg)
        answer = json.loads(reply)
        if "error" in answer:
            raise TemplateRefusedError(answer["error"])
        return str(answer["text"])

    def close(self) -> None:
        """End the process; the next call starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(BrokenPipeError):
                    pipe and pipe.close()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", __name__, str(self._folder)]
        without_key = {name: value for name, value in os.environ.items() if name != environment.API_KEY}  # it runs an untrusted template
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=without_key)
        assert process.stdout is not None  # noqa: S101 - a pipe
        process.stdout.readline()  # until it has read the template: the start does not count as the template's time
        return process

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> bytes:
        assert process.stdin is not None  # noqa: S101 - pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(line)
        process.stdin.flush()
        if not select.select([process.stdout], [], [], self._seconds)[0]:
            return b""
        return process.stdout.readline()


def _serve(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    template = load_chat_template(folder)
    assert template is not None  # noqa: S101 - the parent has read it
    _reply({})
    for line in sys.stdin:
        try:
            answer = {"text": template.render(json.loads(line))}
        except TemplateRefusedError as error:
            answer = {"error": str(error)[:1024]}
        _reply(answer)


def _reply(answer: Mapping[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
