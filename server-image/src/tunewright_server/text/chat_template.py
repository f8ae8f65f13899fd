"""Renders the model's own chat template by the conventions of transformers (`utils/chat_template_utils.py`).

Templates come with the model and are untrusted: they run in Jinja's immutable sandbox and get plain data only.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes, parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tunewright_contract.exit_codes import ExitCode
from tunewright_server.refusal import RefusalError


class TemplateRefusedError(Exception):
    """The template refuses these messages. The message has the reason, usually in the words of the template."""


@jinja2.pass_context
def _as_it_is(_: jinja2.runtime.Context, value: Any) -> Any:
    """Mark the function as dependent on the context for jinja2, so that no output is computed in advance."""
    return value


class ChatTemplate:
    """Renders messages to the text that the model was trained on."""

    def __init__(self, source: str, special_tokens: Mapping[str, str], *, now: Callable[[], datetime] = datetime.now) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_GenerationTag, jinja2.ext.loopcontrols],
            # Constants such as `'x' * 10**9` are computed when the template is rendered, not when it is read.
            optimized=False,
            finalize=_as_it_is,
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda layout: now().strftime(layout)
        self._template = environment.from_string(source)
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Text up to and including the beginning of the assistant's answer. Raises `TemplateRefusedError`."""
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except Exception as error:  # the template is a program of another author, and may fail in any way
            raise TemplateRefusedError(str(error) or type(error).__name__) from error


def load_chat_template(folder: Path) -> ChatTemplate | None:
    """Read `chat_template.jinja`, else `tokenizer_config.json`; None when the model has no template.

    Raises `RefusalError` (65) when there is one and it cannot be read.
    """
    try:
        configuration = _read_json(folder / "tokenizer_config.json")
        separate = folder / "chat_template.jinja"
        source = separate.read_text(encoding="utf-8") if separate.is_file() else _default_template(configuration.get("chat_template"))
        return ChatTemplate(source, special_tokens(configuration)) if source else None
    except (jinja2.TemplateError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RefusalError(
            "ChatTemplateUnreadable",
            f"the chat template in {folder} cannot be read: {error}",
            suggestion="correct the base model's chat template and run the job again",
            exit_code=ExitCode.DATA,
        ) from error


def special_tokens(configuration: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token`, `eos_token` and their like, which templates use by name. A token is a string or an object with `content`."""
    tokens = {
        name: value["content"] if isinstance(value, dict) else value for name, value in configuration.items() if name.endswith("_token")
    }
    return {name: value for name, value in tokens.items() if isinstance(value, str)}


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _default_template(value: str | list[dict[str, str]] | None) -> str | None:
    """A tokenizer has one template, or a list of named ones."""
    if isinstance(value, list):
        return next((entry["template"] for entry in value if entry["name"] == "default"), None)
    return value


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}` marks the text to train on. Here it renders its content."""

    tags = {"generation"}  # noqa: RUF012 - declared so by the base class

    def parse(self, parser: parser.Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(  # the arguments that transformers' filter takes
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
