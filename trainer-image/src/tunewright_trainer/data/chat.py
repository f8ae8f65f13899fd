"""Tokenizes a conversation as the server does: special tokens that are written out in messages are text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunewright_contract.fenced import Fence, tokens_of, without_signs

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


@dataclass
class Conversations:
    """Encodes conversations with one tokenizer. `template` None: the tokenizer's own."""

    tokenizer: "PreTrainedTokenizerBase"
    template: str | None = None

    @cached_property
    def fence(self) -> Fence:
        return Fence(token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special)

    def encode(self, messages: Sequence[Mapping[str, Any]], *, mask: bool = False, ask: bool = False) -> tuple[list[int], list[int]]:
        """Return token ids, and for `mask` 1 for each token of the assistant. `ask`: up to the beginning of an answer.

        Raises the template's errors.
        """
        if not self.fence.needed(messages):
            output = self.tokenizer.apply_chat_template(
                list(messages),
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=mask,
                chat_template=self.template,
                add_generation_prompt=ask,
            )
            return list(output["input_ids"]), list(output["assistant_masks"]) if mask else []
        return self._encode_fenced(messages, mask=mask, ask=ask)

    def _encode_fenced(self, messages: Sequence[Mapping[str, Any]], *, mask: bool, ask: bool) -> tuple[list[int], list[int]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        signed, sign = self.fence.signed(messages)
        (rendered,), said = render_jinja_template(
            conversations=[signed],
            chat_template=self.template or self.tokenizer.get_chat_template(),
            return_assistant_tokens_mask=mask,
            add_generation_prompt=ask,
            **self.tokenizer.special_tokens_map,
        )
        text, places = without_signs(rendered, sign)
        tokens = tokens_of(
            text,
            places,
            encode=_encoder(self.tokenizer.backend_tokenizer),
            encode_plain=_encoder(self._plain),
            special_ids=self._special_ids,
        )
        turns = [tuple(at - rendered.count(sign, 0, at) for at in turn) for turn in said[0]] if mask else []
        return [token.id for token in tokens], [
            int(any(start <= token.start < end for start, end in turns)) for token in tokens
        ] if mask else []

    @cached_property
    def _plain(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        plain = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        plain.no_truncation()
        plain.no_padding()
        plain.encode_special_tokens = True
        return plain

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(index for index, token in self.tokenizer.added_tokens_decoder.items() if token.special)


def _encoder(tokenizer: "Tokenizer") -> Any:
    def encode(text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        found = tokenizer.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    return encode
