"""Chat templates that loop or explode: refused in bounded time and memory, and the next conversation is rendered.

To add a case, add a row: a template.
"""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunewright_contract import environment
from tunewright_server.text.chat_template import ChatTemplate, TemplateRefusedError
from tunewright_server.text.template_process import TemplateProcess

ONLY_ON_REQUEST = "{%% if messages[0].content == 'go' %%}%s{%% else %%}fine{%% endif %%}"
NESTED = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
EXPLODING = {
    "a loop": "{% for i in range(10**9) %}x{% endfor %}",
    "nested loops": NESTED,
    "a long text": "{% set n = messages | length * 10**10 %}{{ 'x' * n }}",
    "half of the memory": "{% set n = messages | length * 4 * 10**8 %}{{ 'x' * n }}",
    "padding": "{% set n = messages | length * 10**10 %}{{ 'x'.center(n) }}",
    "a large power": "{% set n = messages | length * 10**8 %}{{ 9 ** n }}",
    "doubling": "{% set s = namespace(x='x') %}{% for i in range(60) %}{% set s.x = s.x ~ s.x %}{% endfor %}{{ s.x }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "division by zero": "{{ 1 / 0 }}",
    "a constant of 10 GB": "{{ 'x' * 10**10 }}",
}


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in EXPLODING.items()])
def test_a_template_that_exceeds_its_bounds_is_stopped(source: str, tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text(ONLY_ON_REQUEST % source)
    template = TemplateProcess(tmp_path, seconds=2)
    try:
        with pytest.raises(TemplateRefusedError):
            template.render([{"role": "user", "content": "go"}])
        assert template.render([{"role": "user", "content": "stay"}]) == "fine"
    finally:
        template.close()


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[TemplateProcess]:
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    template = TemplateProcess(tmp_path)
    yield template
    template.close()


@pytest.mark.parametrize("text", ["", "a\nb\r\u2028c", "\x00", "ü😀", "x" * 1_000_000])
def test_rendered_text_is_not_changed(echo: TemplateProcess, text: str) -> None:
    assert echo.render([{"role": "user", "content": text}]) == text


def test_a_constant_is_not_computed_when_the_template_is_read() -> None:
    """In the server's own process, which reads the template to see whether it is one."""
    tracemalloc.start()
    try:
        ChatTemplate("{% if false %}{{ 'x' * 10**8 }}{% endif %}fine", {})
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_the_process_does_not_hold_the_api_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.API_KEY, "secret")
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    template = TemplateProcess(tmp_path)
    try:
        template.render([{"role": "user", "content": "x"}])
        assert template._process is not None
        assert environment.API_KEY.encode() not in Path(f"/proc/{template._process.pid}/environ").read_bytes()
    finally:
        template.close()
