"""Tokenizes a conversation: the template's special tokens are tokens; those that are written out in messages are text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright_contract.fenced import without_signs
from tunewright_server.text.template_process import Template
from tunewright_server.text.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Rendered:
    """A rendered conversation, and the places at which special tokens are content."""

    text: str
    fenced: tuple[int, ...] = ()


def render(messages: Sequence[Mapping[str, Any]], template: Template, tokenizer: TextTokenizer) -> Rendered:
    """Render a conversation up to the beginning of the answer. Raises `TemplateRefusedError`."""
    if not tokenizer.fence.needed(messages):
        return Rendered(template.render(messages))
    signed, sign = tokenizer.fence.signed(messages)
    text, places = without_signs(template.render(signed), sign)
    return Rendered(text, tuple(places))


def encode(rendered: Rendered, tokenizer: TextTokenizer) -> tuple[int, ...]:
    """Return the token ids of a rendered conversation."""
    if not rendered.fenced:
        return tokenizer.encode(rendered.text, add_special_tokens=False)
    return tokenizer.encode_fenced(rendered.text, rendered.fenced)
