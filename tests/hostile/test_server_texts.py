"""Long texts at the model server: how many tokens they have is found without tokenizing them whole.

To add a case, add a row: a piece of text, which is repeated.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest
from models import TinyModel, build
from tokenizers import Encoding, Tokenizer

from tunewright_server.http.errors import ApiError
from tunewright_server.http.limits import check_length
from tunewright_server.text.tokenizer import PIECE, TextTokenizer

PIECES = {
    "words": "word ",
    "one word": "a",
    "spaces": " ",
    "lines": "\n",
    "symbols": "\U0001f600",
    "a special token": "<|end|>",
    "mixed": "a \u00e4\U0001f600\n\n  b1",
}


class Recorder:
    """A tokenizer that counts what it is given."""

    def __init__(self, folder: Path) -> None:
        self._real = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.characters = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def encode_batch(self, texts: list[str], *, add_special_tokens: bool) -> list[Encoding]:
        self.characters += sum(map(len, texts))
        return self._real.encode_batch(texts, add_special_tokens=add_special_tokens)


@pytest.mark.parametrize("piece", [pytest.param(piece, id=name) for name, piece in PIECES.items()])
def test_tokens_of_a_long_text_are_bounded_without_reading_it_whole(piece: str) -> None:
    recorder = Recorder(build(TinyModel()).served_dir)
    tokenizer = TextTokenizer(recorder)
    text = piece * (5 * PIECE // len(piece))
    tokens = len(tokenizer.encode(text, add_special_tokens=True))
    assert not tokenizer.has_more(text, tokens)  # what fits is never refused
    assert tokenizer.has_more(text, tokens // 3)
    recorder.characters = 0
    model = SimpleNamespace(tokenizer=tokenizer, engine=SimpleNamespace(max_length=tokens // 12))
    with pytest.raises(ApiError) as refused:
        check_length(text, model, param="prompt")
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")
    assert recorder.characters <= PIECE
