"""The trainer's log on standard error. Control characters are removed, and output of other libraries becomes debug records.

File names, data rows and parser messages come from users, so no record may contain control characters or look like a second record.
Other libraries write to standard error directly; `quiet` captures the output of the exporters.
"""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

from tunewright_contract.text import plain

logger = logging.getLogger(__name__)

_EXPORTERS = ("neural_compressor", "onnx_ir", "onnxruntime.quantization", "onnxscript", "torch.onnx")


class Lines(logging.Formatter):
    """Records without control characters. Further lines of a record are indented, so that they cannot look like another record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines, its traceback with them."""
        return plain(super().format(record)).replace("\n", "\n    ")


def set_up(label: str, stream: TextIO | None = None) -> None:
    """Log to standard error, or to `stream`. `label` stands before each message and names the rank."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines(f"%(asctime)s %(levelname)s {label}%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _LogWriter:
    """A text stream whose lines become log records."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        for line in text.replace("\r", "\n").splitlines():
            if line.strip():
                logger.debug("%s", line.strip())
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, prints go to the debug log, and exporters' loggers log from ERROR up. Errors raised pass through unchanged."""
    loggers = [logging.getLogger(name) for name in _EXPORTERS]
    levels = [other.level for other in loggers]
    for other in loggers:
        other.setLevel(logging.ERROR)
    sink = _LogWriter()
    try:
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for other, level in zip(loggers, levels, strict=True):
            other.setLevel(level)
