"""Words with a tag each: a row as the data sets for named entities on the Hugging Face hub have it, and the columns of CoNLL.

A row has `tokens` and `ner_tags`. Tags are names in the scheme IOB2. Refuses other schemes by name, because a tag that is guessed would be
trained.

A file in the columns of CoNLL has a word with its tags on each line, and an empty line after each sentence. The word is in the first column
and the tag of the entity in the last one. Columns are separated by tabs, or else by white space. A row is a sentence, and its line is that
of its first word. A line of `-DOCSTART-` begins a document, and is no word.
"""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from tunewright_contract.text import holds_control
from tunewright_contract.words import BEGIN, INSIDE, OUTSIDE
from tunewright_trainer.data.rows import LONGEST_ROW, Located, Row, RowProblem
from tunewright_trainer.data.utf8 import lines
from tunewright_trainer.data.values import BadRow, kind, structure

WORDS, TAGS = "tokens", "ner_tags"
_LONGEST_TAG = 128  # characters
_OTHER_SCHEMES = ("E-", "S-", "L-", "U-", "M-")  # of IOBES, BILOU and BMES


def tagged_row(values: Mapping[str, Any]) -> Row:
    """Return `tokens` and `tags`, two lists of one length. Raises `BadRow`."""
    words, tags = _list(values[WORDS], WORDS), _list(values[TAGS], TAGS)
    if len(words) != len(tags):
        raise BadRow(f"{WORDS!r} has {len(words)} entries and {TAGS!r} has {len(tags)}; each word needs one tag")
    if not words:
        raise BadRow(f"{WORDS!r} is empty")
    for at, word in enumerate(words):
        if not isinstance(word, str):
            raise BadRow(f"{WORDS}[{at}] must be text, not {kind(word)}")
        if not word.strip():
            raise BadRow(f"{WORDS}[{at}] is empty; leave the word and its tag out")
    previous = OUTSIDE
    for at, tag in enumerate(tags):
        previous = _tag(tag, at, previous)
    return {"tokens": words, "tags": tags}


def _list(value: Any, column: str) -> list[Any]:
    value = structure(value, column)
    if not isinstance(value, list):
        raise BadRow(f"{column!r} must be a list, not {kind(value)}")
    return value


def _tag(tag: Any, at: int, previous: str) -> str:
    where = f"{TAGS}[{at}]"
    if isinstance(tag, int) and not isinstance(tag, bool):
        raise BadRow(
            f"{where} is the class number {tag}; write the name of the tag, such as {BEGIN}PER: the numbers' names are not in the data"
        )
    if not isinstance(tag, str):
        raise BadRow(f"{where} must be the name of a tag, not {kind(tag)}")
    if not 0 < len(tag) <= _LONGEST_TAG or holds_control(tag):
        raise BadRow(f"{where} must have 1 to {_LONGEST_TAG} printable characters, and has {len(tag)}")
    if tag.startswith(_OTHER_SCHEMES):
        raise BadRow(f"{where} is {tag!r}, which is not IOB2; convert the tags to {BEGIN}, {INSIDE} and {OUTSIDE}")
    if tag != OUTSIDE and not (tag.startswith((BEGIN, INSIDE)) and tag[len(BEGIN) :].strip()):
        raise BadRow(f"{where} is {tag!r}; a tag is {OUTSIDE}, or {BEGIN} or {INSIDE} with the type of the entity, such as {BEGIN}PER")
    if tag.startswith(INSIDE) and previous not in {BEGIN + tag[len(INSIDE) :], tag}:
        raise BadRow(f"{where} is {tag!r} after {previous!r}; in IOB2 the first word of an entity has {BEGIN + tag[len(INSIDE) :]!r}")
    return tag


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
