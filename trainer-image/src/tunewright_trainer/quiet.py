"""Other libraries' chatter, kept out of the pod's log: what the exporters print becomes debug records of ours."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

logger = logging.getLogger(__name__)

_TALKATIVE = ("neural_compressor", "onnx_ir", "onnxruntime.quantization", "onnxscript", "torch.onnx")


class _LogWriter:
    """A text stream whose lines become log records."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        for line in text.replace("\r", "\n").splitlines():
            if line.strip():
                logger.debug("%s", line.strip())
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, prints go to the debug log, and exporters' loggers speak from ERROR up. Errors raised pass through unchanged."""
    talkative = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [other.level for other in talkative]
    for other in talkative:
        other.setLevel(logging.ERROR)
    sink = _LogWriter()
    try:
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for other, level in zip(talkative, levels, strict=True):
            other.setLevel(level)
