"""One tiny model and one running server for all tests of this room; torch is the reference."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from models import BuiltModel, TinyModel, build
from serving import Server, ready_server
from tokenizers import Tokenizer

Reference = Callable[..., list[int]]


@pytest.fixture(scope="session")
def tiny() -> BuiltModel:
    return build(TinyModel())


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny: BuiltModel) -> Tokenizer:
    return Tokenizer.from_file(str(tiny.served_dir / "tokenizer.json"))


@pytest.fixture(scope="session")
def server(tiny: BuiltModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that stays up; three slots, so that a dozen requests join and leave while others are decoded."""
    with ready_server(tiny.served_dir, tmp_path_factory.mktemp("server"), MAX_SLOTS="3") as running:
        yield running


@pytest.fixture(scope="session")
def translate_with_torch() -> Reference:
    """The same of a model with an encoder: what follows the tokens that every target begins with."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

    torch.set_num_threads(1)

    @cache
    def model(folder: Path) -> PreTrainedModel:
        loaded = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
        loaded.generation_config.eos_token_id = None
        return loaded

    @cache
    def translate(folder: Path, source: tuple[int, ...], max_new_tokens: int, **options: int) -> list[int]:
        forced = int(model(folder).generation_config.forced_bos_token_id is not None)
        with torch.no_grad():
            out = model(folder).generate(
                torch.tensor([source]), max_new_tokens=max_new_tokens + forced, do_sample=False, num_beams=1, **options
            )
        return out[0, 1 + forced :].tolist()

    return translate


@pytest.fixture(scope="session")
def generate_with_torch() -> Reference:
    """`generate(do_sample=False)` of transformers on one prompt alone, in float32, without stopping at the end-of-sequence token."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedModel

    torch.set_num_threads(1)  # the models are tiny; more threads only wait for each other

    @cache
    def model(folder: Path) -> PreTrainedModel:
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        loaded.generation_config.eos_token_id = None
        return loaded

    @cache
    def generate(folder: Path, prompt: tuple[int, ...], max_new_tokens: int) -> list[int]:
        with torch.no_grad():
            out = model(folder).generate(torch.tensor([prompt]), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0)
        return out[0, len(prompt) :].tolist()

    return generate
