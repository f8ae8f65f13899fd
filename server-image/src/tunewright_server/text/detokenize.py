"""Incremental decoding of tokens to text, without partial characters."""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
REPLACEMENT = "\ufffd"  # what a decoder writes for bytes that are not UTF-8, or not yet
_WINDOW = 6  # tokens of context: enough for decoders that treat the first token of a text differently


class Detokenizer:
    """Decodes a growing list of tokens piece by piece; the pieces joined are the decoded whole.

    Some decoders look at their neighbours (a word's leading space, bytes of one character spread over several tokens), so each token
    is decoded together with those before it and only what it adds is returned, as Hugging Face's text-generation-inference and vLLM do.
    A tail of replacement characters is withheld: the next token may complete it.
    """

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tokens = list(context[-_WINDOW:])
        self._start = 0
        self._read = len(self._tokens)
        self._known = decode(self._tokens)
        self._returned = len(self._known)

    def push(self, token: int) -> str:
        """Return the text that is certain now and was not before."""
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
        """Return what was withheld: the answer has ended and nothing will complete it."""
        return self._take(self._decode(self._tokens[self._start :]))

    def _take(self, text: str) -> str:
        piece = text[self._returned :]
        self._returned = max(self._returned, len(text))
        return piece
