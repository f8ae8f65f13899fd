"""The trainer's own log: lines for people, in which nothing from outside moves a cursor or passes for another line.

Names of files, rows of data and messages of parsers come from users. Other libraries write to standard error by themselves.
"""

import logging
import sys
from typing import TextIO

from tunewright_contract.text import plain


class Lines(logging.Formatter):
    """Records without control characters. What a record holds after a line break is indented: no record passes for a second one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines, its traceback with them."""
        return plain(super().format(record)).replace("\n", "\n    ")


def set_up(label: str, stream: TextIO | None = None) -> None:
    """Log to standard error, or to `stream`. `label` stands before each message: which rank speaks."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines(f"%(asctime)s %(levelname)s {label}%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
