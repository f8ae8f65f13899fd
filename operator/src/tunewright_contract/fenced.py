"""Keeps special tokens that are written out in message content as text, in training data and at the server.

A chat template joins content with its own special tokens into one text, so a tokenizer cannot distinguish their `<|end|>`. Each occurrence
in content therefore gets a marker before the template is rendered. Afterwards the markers are removed and the text is tokenized. A special
token at the place of a marker is replaced by the tokens of its text. Conversations without such content are not changed.

This covers the tokens that the tokenizer marks as special. It cannot cover role headers that a template writes as plain text.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Encodes a text: token ids, each with the span of characters that it covers.
Encode = Callable[[str], tuple[Sequence[int], Sequence[tuple[int, int]]]]
_SIGNS = range(0xE000, 0xF8FF)  # Unicode's private use area: characters without a meaning
_GUARDS = ("\n", "0", "é")


@dataclass(frozen=True)
class Token:
    """A token of a rendered conversation, and the characters that it covers."""

    id: int
    start: int
    end: int


class Fence:
    """Finds the texts of special tokens. `specials` are those texts."""

    def __init__(self, specials: Iterable[str]) -> None:
        texts = sorted({text for text in specials if text}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, texts))) if texts else None

    def holds(self, text: str) -> bool:
        """Return whether a text contains one."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def needed(self, messages: Iterable[Mapping[str, Any]]) -> bool:
        """Return whether a message's content or name contains one."""
        return any(self.holds(value) for message in messages for value in _texts(message))

    def signed(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str]:
        """Return the messages with a sign in each occurrence, after its first character, and the sign."""
        used = {character for message in messages for value in _texts(message) for character in value}
        sign = next(chr(code) for code in _SIGNS if chr(code) not in used)
        return [
            {name: self._sign(value, sign) if name in _FIELDS else value for name, value in message.items()} for message in messages
        ], sign

    def _sign(self, value: Any, sign: str) -> Any:
        if self._pattern is None or not isinstance(value, str):
            return value
        return self._pattern.sub(lambda match: match[0][0] + sign + match[0][1:], value)


_FIELDS = ("content", "name")


def _texts(message: Mapping[str, Any]) -> list[str]:
    return [value for name in _FIELDS if isinstance(value := message.get(name), str)]


def without_signs(rendered: str, sign: str) -> tuple[str, list[int]]:
    """Return the text without its signs, and their places: the index of the character that followed each."""
    places: list[int] = []
    pieces = rendered.split(sign)
    for piece in pieces[:-1]:
        places.append((places[-1] if places else 0) + len(piece))
    return "".join(pieces), places


def tokens_of(text: str, places: Sequence[int], *, encode: Encode, encode_plain: Encode, special_ids: Collection[int]) -> list[Token]:
    """Tokenize a text in which the special tokens at these places are content.

    `encode` recognises special tokens and adds none; `encode_plain` recognises none and adds none.
    """
    tokens: list[Token] = []
    for index, (start, end) in zip(*encode(text), strict=True):
        if index in special_ids and any(start < place <= end for place in places):
            tokens += [Token(id_, start + left, start + right) for id_, left, right in _plain(text[start:end], encode_plain)]
        else:
            tokens.append(Token(index, start, end))
    return tokens


def _plain(text: str, encode_plain: Encode) -> list[tuple[int, int, int]]:
    """Tokenize a piece from the middle of a text. A character before it gets what a tokenizer adds at the beginning."""
    for guard in _GUARDS:
        ids, spans = encode_plain(guard + text)
        if not any(left < len(guard) < right for left, right in spans):
            found = zip(ids, spans, strict=True)
            return [(index, left - len(guard), right - len(guard)) for index, (left, right) in found if left >= len(guard)]
    ids, spans = encode_plain(text)
    return [(index, left, right) for index, (left, right) in zip(ids, spans, strict=True)]
