"""Decodes a data file as UTF-8, or refuses it with the line and a command that converts the file."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from tunewright_trainer.data.rows import LONGEST_ROW, RowProblem

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Without a mark: the positions of the zero bytes of an ASCII character, with which data files begin.
_ZEROS = {
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}


def likely_encoding(start: bytes) -> str | None:
    """Return the encoding of a file that is not UTF-8 by its first four bytes, as iconv names it. None: unknown."""
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    first, second, third, fourth = (byte == 0 for byte in start[:4].ljust(4, b"x"))
    return marked or _ZEROS.get((first, second, third, fourth))


def lines(file: BinaryIO, name: str) -> Iterator[tuple[int, str] | RowProblem]:
    """The lines of a file, counted from 1. After a line that is too long, or in a file of another encoding, there are no more."""
    start = b""
    for line, raw in enumerate(iter(lambda: file.readline(LONGEST_ROW + 1), b""), start=1):
        start = start or raw[:4]
        if len(raw) > LONGEST_ROW:
            yield RowProblem(name, line, f"the line is longer than {LONGEST_ROW} bytes; put one example on each line, or shorten it")
            return
        text = _decode(raw, name, line, start)
        yield text if isinstance(text, RowProblem) else (line, text)
        if isinstance(text, RowProblem) and likely_encoding(start):
            return  # every line would have the same problem


def first_problem(file: BinaryIO, name: str) -> RowProblem:
    """Return the first problem of a file that could not be read as text."""
    file.seek(0)
    found = next((item for item in lines(file, name) if isinstance(item, RowProblem)), None)
    return found or RowProblem(name, None, "not UTF-8 text")


def _decode(raw: bytes, name: str, line: int, start: bytes) -> str | RowProblem:
    encoding = likely_encoding(start)
    convert = f"convert the file, for example with `iconv -f {encoding or 'LATIN1'} -t UTF-8`"
    try:
        text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        return RowProblem(name, line, f"not UTF-8 (byte 0x{error.object[error.start]:02x}); {convert}")
    if "\0" not in text:
        return text
    way_out = convert if encoding else "the file is damaged or not text: copy it again, or remove the byte"
    return RowProblem(name, line, f"holds a zero byte at character {text.index(chr(0)) + 1}; {way_out}")
