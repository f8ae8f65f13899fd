"""Text from outside, on its way to a terminal or a log: it is shown, and does nothing else.

To add a case, add a row: the text, and what of it is left.
"""

import io
import json
import logging

import pytest
from rich.console import Console

from tunewright.cli import console
from tunewright.cli.console import Terminal
from tunewright.cli.live import LiveView
from tunewright.shell.logs import JsonFormatter, TextFormatter

TEXTS = [
    ("\x1b[2J\x1b[Hgone", "gone"),
    ("\x1b]0;title\x07text", "text"),
    ("\x1b]52;c;Y3VybA==\x07clipboard", "clipboard"),
    ("abc\x08\x08\x08xyz", "abcxyz"),
    ("\u202etxt.exe", "txt.exe"),
    ("\x9b31mC1", "C1"),
    ("half \ud800", "half "),
    ("[bold]markup[/bold]", "[bold]markup[/bold]"),
    ("漢字 🎉", "漢字 🎉"),
]
ONE = pytest.mark.parametrize(("text", "left"), TEXTS, ids=[repr(row[0]) for row in TEXTS])


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("tunewright", logging.WARNING, __file__, 1, "job said %s", (message,), None)


@ONE
def test_output_of_the_command_line_has_no_control_characters(text, left):
    file = io.StringIO()
    Terminal(file=file, soft_wrap=True, highlight=False, force_terminal=True).print(text, markup=False)
    assert file.getvalue() == f"{left}\n"


def test_stdout_and_stderr_are_both_cleaned():
    assert isinstance(console.out, Terminal)
    assert isinstance(console.err, Terminal)


@ONE
@pytest.mark.parametrize("terminal", [True, False])
def test_the_updated_line_of_a_run_has_no_control_characters(text, left, terminal):
    file = io.StringIO()
    with LiveView(Console(file=file, force_terminal=terminal, soft_wrap=True, width=200), name="bot") as line:
        line.show({"phase": "Waiting", "message": text})
    shown = file.getvalue()
    assert left in shown
    assert "\x1b]" not in shown
    assert not any(character in shown for character in "\x07\x08\x9b\u202e\ud800")


@ONE
def test_the_operators_log_has_no_control_characters(text, left):
    assert json.loads(JsonFormatter().format(record(text)))["message"] == f"job said {left}"
    assert TextFormatter("%(message)s").format(record(text)) == f"job said {left}"


def test_a_message_cannot_look_like_another_line_of_the_log():
    assert TextFormatter("%(message)s").format(record("a\n2026-01-01 ERROR forged\rb")) == "job said a\n    2026-01-01 ERROR forged\n    b"
    assert "\n" not in JsonFormatter().format(record("a\nb"))
