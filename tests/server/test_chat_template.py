"""A chat is turned into the same tokens as transformers turns it into."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from models import BuiltModel

from tunewright_server.refusal import RefusalError
from tunewright_server.text.chat_template import ChatTemplate, TemplateRefusedError, load_chat_template
from tunewright_server.text.tokenizer import load_tokenizer

HELLO = [{"role": "user", "content": "Hello"}]
CHATS = {
    "one question": HELLO,
    "system, and a turn before": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Grüße 🙂"},
        {"role": "assistant", "content": "<b>Hi</b>"},
        {"role": "user", "content": "你好?\n\n"},
    ],
}
TEMPLATES = {
    "whitespace control": "{% for m in messages %}\n    {{ m.role }}: {{ m.content }}\n{% endfor %}\n  {% if add_generation_prompt %}bot:{% endif %}",
    "special tokens": "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
    "tojson": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}",
    "generation tag": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "loop controls": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "absent tools": "{% if tools %}tools{% endif %}{% if tools is none %}none{% endif %}{% if documents is defined %}docs{% endif %}",
}


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS)
@pytest.mark.parametrize("source", [None, *TEMPLATES.values()], ids=["the model's own", *TEMPLATES])
def test_the_prompt_equals_transformers(source: str | None, chat: list[dict[str, str]], tiny: BuiltModel) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(tiny.torch_dir)
    expected = reference.apply_chat_template(chat, chat_template=source, add_generation_prompt=True, tokenize=False)
    ours = load_chat_template(tiny.served_dir)
    assert ours is not None
    if source is not None:
        ours = ChatTemplate(source, {"bos_token": "<s>", "eos_token": "<|endoftext|>"})
    text = ours.render(chat)
    assert text == expected
    tokens = load_tokenizer(tiny.served_dir).encode(text, add_special_tokens=False)
    assert list(tokens) == reference(expected, add_special_tokens=False)["input_ids"]


def test_a_plain_prompt_gets_the_special_tokens_that_transformers_adds(tiny: BuiltModel) -> None:
    from transformers import AutoTokenizer

    expected = AutoTokenizer.from_pretrained(tiny.torch_dir)("Paris is")["input_ids"]
    assert list(load_tokenizer(tiny.served_dir).encode("Paris is", add_special_tokens=True)) == expected


def test_a_template_can_use_the_date() -> None:
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}", {}, now=lambda: datetime(2026, 3, 1))  # noqa: DTZ001
    assert template.render(HELLO) == "01 Mar 2026"


@pytest.mark.parametrize(
    ("reason", "source"),
    [
        ("roles must alternate", "{{ raise_exception('roles must alternate') }}"),
        ("unsafe", "{{ messages.__class__.__mro__ }}"),
        ("unsafe", "{{ messages.append(1) }}"),
        ("undefined", "{{ nothing.at_all }}"),
    ],
)
def test_a_templates_refusal_is_returned_to_the_client(reason: str, source: str) -> None:
    with pytest.raises(TemplateRefusedError, match=reason):
        ChatTemplate(source, {}).render(HELLO)


@pytest.mark.parametrize(
    ("expected", "files"),
    [
        ("from its file", {"chat_template.jinja": "from its file", "tokenizer_config.json": '{"chat_template": "from the configuration"}'}),
        ("from the configuration", {"tokenizer_config.json": '{"chat_template": "from the configuration"}'}),
        (
            "the default one",
            {
                "tokenizer_config.json": json.dumps(
                    {"chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "the default one"}]}
                )
            },
        ),
        ("<s>", {"chat_template.jinja": "{{ bos_token }}", "tokenizer_config.json": '{"bos_token": {"content": "<s>", "special": true}}'}),
    ],
)
def test_sources_of_a_template(expected: str, files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = load_chat_template(tmp_path)
    assert found is not None
    assert found.render(HELLO) == expected


def test_a_model_may_have_no_template(tmp_path: Path) -> None:
    assert load_chat_template(tmp_path) is None


def test_a_template_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}")
    with pytest.raises(RefusalError, match="chat template"):
        load_chat_template(tmp_path)
