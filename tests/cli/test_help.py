"""The help: every command has a description and examples, and every command line of a document exists."""

import re
import shlex
from pathlib import Path

import pytest

from tunewright.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["run", "validate", "plan", "get", "describe", "watch", "logs", "chat", "suspend", "resume", "retry", "delete", "completion"]
PLACE_OPTIONS = ["--context", "--kubeconfig", "-n", "--home"]
DOCUMENTS = ["README.md", "docs/command-line.md", "examples/README.md", "Makefile"]


def promised(document: str) -> list[str]:
    """Return the command lines that a document shows."""
    text = (ROOT / document).read_text()
    return [line.split("#")[0].strip() for line in re.findall(r"^\s*(?:\$\(BIN\)/)?tunewright (.+)$", text, flags=re.MULTILINE)]


def test_the_first_page_shows_where_to_start_and_what_exit_codes_mean(call):
    page = call("--help").stdout
    assert [name for name in COMMANDS if not re.search(rf"^  {name}  ", page, flags=re.MULTILINE)] == []
    assert "tunewright run examples/quickstart.yaml" in page
    assert re.findall(r"^    (\d+)  ", page, flags=re.MULTILINE) == ["0", "1", "2", "64", "130"]
    assert "..." not in page.split("Commands:")[1], "no summary is cut off"


def test_without_a_command_the_help_is_shown(call):
    assert "Start here" in call().output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_description_and_an_example(call, command: str):
    page = call(command, "--help").stdout
    assert f"tunewright {command} " in page.split("Options:")[1]
    assert call(command, "-h").stdout == page


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_line_in_the_documentation_exists(call, document: str):
    lines = promised(document)
    assert lines or document != "README.md"
    for line in lines:
        words = shlex.split(line)
        while words[0] in PLACE_OPTIONS:  # before the command
            del words[:2]
        command, *rest = words
        assert command in COMMANDS, line
        page = call(command, "--help").stdout
        assert [word for word in rest if word.startswith("-") and not re.search(rf"(?<![\w-]){word}(?![\w-])", page)] == [], line


def test_examples_in_the_help_name_real_files(call):
    pages = call("--help").stdout + "".join(call(command, "--help").stdout for command in COMMANDS)
    assert [path for path in re.findall(r"examples/[\w-]+\.yaml", pages) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "nonsense"),
        (["run"], "MANIFEST"),
        (["get", "-o", "xml"], "'yaml'"),
        (["plan", "x.yaml", "-o", "xml"], "'explain'"),
        (["logs", "x", "--stage", "bake"], "'train'"),
        (["logs", "x", "--rank", "-1"], "--rank"),
        (["chat", "x", "hello", "--temperature", "3"], "--temperature"),
        (["delete"], "NAME"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_names_what_is_wrong(call, arguments: list[str], named: str):
    ended = call(*arguments)
    assert (ended.exit_code, named in ended.stderr) == (2, True), ended.stderr


def test_the_version_is_printed(call):
    assert re.fullmatch(r"tunewright \d+\.\d+\.\d+\n", call("--version").stdout)


def test_the_page_of_the_command_line_has_each_command_and_its_aliases():
    page = (ROOT / "docs" / "command-line.md").read_text()
    rows = {name for cell in re.findall(r"^\| (`[^|]+) \|", page, flags=re.MULTILINE) for name in re.findall(r"`([a-z]+)", cell)}
    assert rows == {command.name for command in app.registered_commands if command.name} | set(COMMANDS)
