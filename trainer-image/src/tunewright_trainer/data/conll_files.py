"""Reads text in the columns of CoNLL: a word with its tags on each line, and an empty line after each sentence.

The word is in the first column and the tag of the entity in the last one. Columns are separated by tabs, or else by white space. A row is
a sentence, in the shape of the data sets on the Hugging Face hub, and its line is that of its first word. A line of `-DOCSTART-` begins a
document, and is no word.
"""

from collections.abc import Iterator
from typing import BinaryIO

from tunewright_trainer.data.rows import LONGEST_ROW, Located, RowProblem
from tunewright_trainer.data.tagged import TAGS, WORDS
from tunewright_trainer.data.utf8 import lines

_DOCUMENT = "-DOCSTART-"


def conll_rows(file: BinaryIO, name: str) -> Iterator[Located | RowProblem]:
    """Yield the sentences, and each line that cannot be read. A sentence with such a line is left out."""
    words: list[str] = []
    tags: list[str] = []
    begin = size = 0
    broken = False
    for item in lines(file, name):
        if isinstance(item, RowProblem):
            yield item
            broken = True
            continue
        line, text = item
        if not text.strip():
            if words and not broken:
                yield Located(name, begin, {WORDS: words, TAGS: tags})
            words, tags, size, broken = [], [], 0, False
            continue
        columns = text.rstrip("\r\n").split("\t") if "\t" in text else text.split()
        if columns[0] == _DOCUMENT:
            continue
        if len(columns) < 2:
            yield RowProblem(
                name, line, f"the line has one column; a line is a word and its tag, and {_DOCUMENT} or an empty line stands alone"
            )
            broken = True
            continue
        size += len(text)
        if size > LONGEST_ROW:
            yield RowProblem(name, line, f"the sentence is longer than {LONGEST_ROW} characters; end each sentence with an empty line")
            return
        begin = begin if words else line
        words.append(columns[0])
        tags.append(columns[-1])
    if words and not broken:
        yield Located(name, begin, {WORDS: words, TAGS: tags})
