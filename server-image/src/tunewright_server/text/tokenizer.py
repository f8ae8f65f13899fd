"""The tokenizer as the exporter left it: `tokenizer.json`, read by the library that wrote it."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from tunewright_contract.exit_codes import ExitCode
from tunewright_server.refusal import RefusalError


class TextTokenizer:
    """Text to token ids and back. Special tokens written out in the text are recognised, as transformers does."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()  # a file may ask for either, left over from training
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.longest_token = max(map(len, tokenizer.get_vocab()), default=1)  # characters

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        """`add_special_tokens` adds what the model expects around a plain text; a rendered chat has it already."""
        # `encode` holds the interpreter's lock for the whole text, `encode_batch` does not.
        return tuple(self._tokenizer.encode_batch([text], add_special_tokens=add_special_tokens)[0].ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Leave special tokens out."""
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
