"""Chat templates that loop or explode: refused in bounded time and memory, and the next conversation is rendered.

To add a case, add a row: a template.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tunewright_server.text.chat_template import TemplateRefusedError
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
}


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in EXPLODING.items()])
def test_a_template_that_explodes_is_stopped(source: str, tmp_path: Path) -> None:
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
def test_text_comes_back_as_it_is(echo: TemplateProcess, text: str) -> None:
    assert echo.render([{"role": "user", "content": text}]) == text
