"""Makes text from outside safe to show on a terminal, in a condition or in a log.

A control character moves the cursor, clears the screen or changes the window's title; a direction override changes the order in which text
is shown; a lone surrogate cannot be encoded. All of them are removed. Line breaks, tabs and every printable character of every script stay.
"""

import re

STATUS_MESSAGE = 1024  # characters; the limit of the status schema

# Complete escape sequences (ECMA-48), so that no "[31m" remains: OSC and the other strings up to their end, CSI, two characters.
# The length of a sequence is bounded, so that one without an end removes no further text.
_SEQUENCES = re.compile(
    "(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\\\|\x9c)"
    "|(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    "|\x1b[ -/]{0,8}[0-~]"
)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions: marks, embeddings, overrides, isolates
    "\u2028\u2029\ufeff\ufff9-\ufffb"  # line and paragraph separators, byte order mark, annotations
    "\U000e0000-\U000e007f"  # tags, which are invisible
    "\ud800-\udfff]"  # lone surrogates
)
_BREAKS = re.compile("\r\n?|[\n\x0b\x0c\x85\u2028\u2029]")


def plain(text: str) -> str:
    """Return the text without control characters, escape sequences, direction overrides and lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub("", _BREAKS.sub("\n", _SEQUENCES.sub("", text)))


def clip(text: str, limit: int = STATUS_MESSAGE) -> str:
    """Return the plain text, cut to `limit` characters, as status stores a message."""
    text = plain(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str, limit: int) -> str:
    """Return the plain text on one line, cut to `limit` characters, to quote a value in a message."""
    line = " ".join(plain(text[: 4 * limit]).split())
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1] + "…"


def holds_control(text: str) -> bool:
    """Return whether `plain` would change the text, or it has a line break or a tab: a name has none of these."""
    return plain(text) != text or "\n" in text or "\t" in text


def head_and_tail(text: str, characters: int) -> str:
    """Cut the middle out of a text that exceeds the limit, because tools print the place first and the reason last."""
    half = characters // 2
    return text if len(text) <= characters else f"{text[:half]} … {text[-half:]}"
