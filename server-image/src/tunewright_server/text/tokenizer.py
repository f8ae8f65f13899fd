"""The exported tokenizer: `tokenizer.json`, read by the library that wrote it.

Tokens become text step by step, without partial characters.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.fenced import Encode, Fence, tokens_of
from tunewright_contract.questions import PairTokenizer
from tunewright_server.refusal import RefusalError

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


PIECE = 64 * 1024  # characters that are tokenized at a time when tokens are only counted


def _encoder(tokenizer: Tokenizer) -> Encode:
    def encode(text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        found = tokenizer.encode_batch([text], add_special_tokens=False)[0]
        return found.ids, found.offsets

    return encode


class TextTokenizer:
    """Text to token ids and back. Special tokens written out in a plain text are recognised, as transformers does; not so in messages."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()  # a file can set either, left from training
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        added = {index: token.content for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self.fence = Fence(added.values())
        self._special_ids = frozenset(added)
        self.longest_token = max(map(len, tokenizer.get_vocab()), default=1)  # characters

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        """`add_special_tokens` adds the tokens that the model expects around a plain text; a rendered chat has them already."""
        # `encode` holds the interpreter's lock for the whole text, `encode_batch` does not.
        return tuple(self._tokenizer.encode_batch([text], add_special_tokens=add_special_tokens)[0].ids)

    def only_special(self, tokens: Sequence[int]) -> bool:
        """Return whether all of these token ids are special: they stand around a text, and there is none."""
        return self._special_ids.issuperset(tokens)

    @property
    def pairs(self) -> PairTokenizer:
        """The same for a question and its context; see `tunewright_contract.questions`."""
        return self._tokenizer

    def encode_with_offsets(self, text: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        """Token ids with special tokens, and the characters that each covers; a special token that was added covers none."""
        found = self._tokenizer.encode_batch([text], add_special_tokens=True)[0]
        return tuple(found.ids), found.offsets

    def has_more(self, text: str, tokens: int) -> bool:
        """Whether a text has certainly more than so many tokens. Its time and memory depend on that number, not on the whole text.

        A cut between two pieces may split a token, so that the pieces have a few tokens more than the text: twice as many are certain.
        """
        count = 0
        for start in range(0, len(text), PIECE):
            count += len(self._tokenizer.encode_batch([text[start : start + PIECE]], add_special_tokens=False)[0].ids)
            if count > 2 * tokens:
                return True
        return False

    def encode_fenced(self, text: str, places: Sequence[int]) -> tuple[int, ...]:
        """Token ids of a rendered chat in which the special tokens at these places are content (see `tunewright_contract.fenced`)."""
        encode, encode_plain = (_encoder(tokenizer) for tokenizer in (self._tokenizer, self._plain))
        tokens = tokens_of(text, places, encode=encode, encode_plain=encode_plain, special_ids=self._special_ids)
        return tuple(token.id for token in tokens)

    @cached_property
    def _plain(self) -> Tokenizer:
        """The same tokenizer without recognition of special tokens, created at its first use."""
        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode token ids to text, without special tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def name(self, token: int) -> str:
        """Text of one token on its own, special tokens included; used to report log-probabilities."""
        return str(self._tokenizer.decode([token], skip_special_tokens=False))


def load_tokenizer(folder: Path) -> TextTokenizer:
    """Raises `RefusalError` (65) when `tokenizer.json` cannot be read."""
    try:
        return TextTokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")))
    except Exception as error:  # the library raises bare Exception
        raise RefusalError(
            "TokenizerUnreadable",
            f"{folder / 'tokenizer.json'} cannot be read: {error}",
            suggestion="export the model again with the versions of this release",
            exit_code=ExitCode.DATA,
        ) from error
