"""Incremental decoding of tokens to text, without partial characters."""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
REPLACEMENT = "\ufffd"  # what a decoder writes for bytes that are not UTF-8, or not yet
_WINDOW = 6  # tokens of context: enough for decoders that treat the first token of a text differently


class Detokenizer:
    """Decodes a growing list of tokens piece by piece; the pieces joined are the decoded whole.

    The text of a token can depend on its neighbours (a word's leading space, bytes of one character in several tokens). So each token is
    decoded together with those before it, and only the added text is returned, as in Hugging Face's text-generation-inference and vLLM.
    A tail of replacement characters is withheld, because the next token can complete it.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tokens = list(context[-_WINDOW:])
        self._start = 0
        self._read = len(self._tokens)
        self._known = decode(self._tokens)
        self._returned = len(self._known)

    def push(self, token: int) -> str:
        """Return the text that has become certain with this token."""
        self._tokens.append(token)
        text = self._decode(self._tokens[self._start :])
        if text.endswith(REPLACEMENT):
            return self._take(text.rstrip(REPLACEMENT))
        piece = self._take(text)
        if text:
            self._start, self._read = self._read, len(self._tokens)
            self._returned = len(self._decode(self._tokens[self._start :]))
        return piece

    def flush(self) -> str:
        """Return the withheld text, when the answer has ended and no token can complete it."""
        return self._take(self._decode(self._tokens[self._start :]))

    def _take(self, text: str) -> str:
        piece = text[self._returned :]
        self._returned = max(self._returned, len(text))
        return piece
