"""Logs: JSON lines for log collectors, or plain text for people."""

import json
import logging
import sys
from datetime import UTC, datetime

from tunewright_contract.text import plain

_QUIET = {"kopf": logging.WARNING, "aiohttp.access": logging.WARNING, "urllib3": logging.ERROR}  # they log every request, or every event


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message"}`, and `error` with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, without control characters."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(record.getMessage()),
        }
        if record.exc_info:
            entry["error"] = plain(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Text for a person. Further lines of a message are indented, so that they cannot look like another message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines."""
        return plain(super().format(record)).replace("\n", "\n    ")


def set_up(*, level: str, form: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
