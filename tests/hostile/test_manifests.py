"""Manifests on this machine: any file gives a job or problems with line, column and way out, in bounded memory. Never a traceback, never a wait.

To add a case, add a row: what stands in the manifest, where the problem is, and a part of its message.
"""

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_text import HEAD
from typer.testing import CliRunner

from tunewright.api.admission import ManifestError, read_job
from tunewright.api.yaml_nodes import LARGEST_TEXT, LONGEST_NUMBER, LONGEST_PATH, MOST_NODES, MOST_PROBLEMS
from tunewright.cli.console import EXIT_FAILED, EXIT_REFUSED, LARGEST_MANIFEST
from tunewright.cli.main import app

MOST_MEMORY = 64 * 2**20  # bytes of Python objects, for the largest text that is read


def problems(text):
    try:
        read_job(text, "job.yaml")
    except ManifestError as error:
        return error.problems
    return ()


# a value of spec.training.maxSteps -> part of the message. The problem is at line 10, column 25.
VALUES = [
    ("9" * 6000, f"6000 characters; {LONGEST_NUMBER} are allowed"),
    ("0x" + "f" * 5000, "are allowed"),
    ("1." + "0" * 5000, "are allowed"),
    ("!!int abc", "'abc' is no int"),
    ('!!int "019"', "'019' is no int"),
    ("!!int 0x", "is no int"),
    ("!!float abc", "is no float"),
    ("!!bool maybe", "is no bool"),
    ("!!null 5", "is no null"),
    ("!!timestamp abc", "is no timestamp"),
    ("!!binary aGk=", "binary means nothing here"),
    ("!!python/object/apply:os.system [id]", "python/object/apply:os.system means nothing here"),
    ("!!set {a}", "set means nothing here"),
    ("!!omap [a: 1]", "omap means nothing here"),
    ("!!map [a]", "map means nothing here"),
    ("!!seq {a: 1}", "seq means nothing here"),
    ("!own 5", "!own means nothing here"),
    ("!" + "x" * 5000 + " 5", "means nothing here"),
    ('"\\ud800"', "half a character"),
    ("0" + "7" * 5000, "another value to kubectl"),
]


@pytest.mark.parametrize(("value", "message"), VALUES, ids=[value[:24] for value, _ in VALUES])
def test_an_invalid_value_is_refused(value, message):
    (problem,) = problems(HEAD + f"  training: {{maxSteps:  {value}}}\n")
    assert (problem.line, problem.column, problem.path) == (10, 25, "spec.training.maxSteps")
    assert message in problem.message
    assert len(problem.message) < 400
    assert problem.way_out


# texts that are appended to a manifest -> (line, part of the message)
TEXTS = [
    ('  a: "\\UFFFFFFFF"\n', 10, "escape sequence"),
    ('  a: "\\U00110000"\n', 10, "escape sequence"),
    ('  "\\udfff": 1\n', 10, "half a character"),
    ("  yes: 1\n", 10, "yes without quotes"),
    (f"  {'k' * LONGEST_PATH}: 1\n", 10, f"{LONGEST_PATH} are allowed"),
    (f"  ? {'k' * LONGEST_PATH}\n  : 1\n", 10, f"{LONGEST_PATH} are allowed"),
    (f"  a: [{'0,' * 2 * MOST_NODES}]\n", 10, f"more than {MOST_NODES} values"),
    ("---\n" * 3 * MOST_NODES, None, f"more than {MOST_NODES} values"),
    (f"  a: {'[' * 100}{']' * 100}\n", 10, "levels deep"),
    ("  a: " + "- " * 100 + "\n", 10, "not allowed here"),
    ("  a:\n    " + "- " * 100 + "\n", 11, "levels deep"),
    (f"  a: &a [{'0,' * 5000}]\n  b: [{'*a,' * 1000}]\n", 10, "aliases make it too large"),
    (f"  a: &a {'x' * 100_000}\n  b: [{'*a,' * 1000}]\n", None, "aliases make it too large"),
    ("  a: &a {b: *a}\n", 10, "endless"),
    ("  a: \x00\n", 10, "special characters"),
    ("  a: &a 1\n  <<: *a\n", 11, "names must be plain text"),
    ("x" * LARGEST_TEXT, 1, f"{LARGEST_TEXT} are allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "message"), TEXTS, ids=[text[:24] for text, *_ in TEXTS])
def test_a_text_beyond_the_bounds_is_refused(text, line, message):
    found = [problem for problem in problems(HEAD + text) if message in problem.message]
    assert len(found) == 1
    assert line in {None, found[0].line}
    assert found[0].way_out


WIDE = [
    "{? " + " {? ".join("k" * (LONGEST_PATH // 44) + f"{level} : " for level in range(40)) + "[" + ",".join("0" * 5000) + "]" + "}" * 40,
    HEAD + "  a: {" + ", ".join(f"{'k' * 20}{count}: 0" for count in range(MOST_NODES // 2)) + "}\n",
    HEAD + "  b: [" + "{}," * (MOST_NODES // 2) + "]\n",
    HEAD.replace("      -", "      - {}\n" * 4000 + "      -"),
    HEAD + "  x: !!int a\n" * 4000,
]


@pytest.mark.parametrize("text", WIDE, ids=[text[-24:].strip() for text in WIDE])
def test_memory_and_the_number_of_problems_are_bounded(text):
    tracemalloc.start()
    try:
        found = problems(text)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert 0 < len(found) <= 2 * (MOST_PROBLEMS + 1)


QUANTITIES = ["1e99", "1E99", "-1", "1e19", "9" * 20, "9" * 32, "9223372036854775808", "8Ei", "1e", "Gi", "0x10", "1 Gi", "١", "", "1\n"]


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "memory", "cpu", "example.com/x"])
def test_quantities_that_kubernetes_cannot_store_are_refused(resource, quantity):
    text = HEAD + f"  workers: {{resources: {{limits: {{{resource}: {quantity!r}}}}}}}\n"
    if quantity == "1\n":
        text = text.replace("'1\\n'", '"1\\n"')
    (problem,) = problems(text)
    assert problem.path == f"spec.workers.resources.limits.{resource}"


LETTERS = st.sampled_from([
    *"{}[]:,-?&*!|>'\"%@`#\n \t\r~=019eExob_.<\\\x85\u2028\ufeff\ud800\x00", "!!int ", "!!float ", "!!bool ", "!!null ", "!<", "<<: ", "*a", "&a ",
    "---\n", "...\n", "%YAML 1.1\n", '"\\u', '"\\U', "\\x", ".inf", "0x", "0b", "0o", "yes", "null", "2001-01-01", "- ", "? ", ": ",
])  # fmt: skip
TEXT = st.lists(LETTERS, max_size=40).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=TEXT | st.text(max_size=60))
def test_any_text_gives_problems(text):
    found = problems(text)
    assert found
    assert all(problem.line and problem.column for problem in found)


@settings(max_examples=150, deadline=None)
@given(text=TEXT, at=st.integers(0, len(HEAD)), gone=st.integers(0, 8))
def test_any_damage_to_a_manifest_gives_problems_or_a_job(text, at, gone):
    for problem in problems(HEAD[:at] + text + HEAD[at + gone :]):
        assert problem.line
        assert problem.column
        f"{problem}".encode()  # as a terminal would


def _file(content):
    return lambda path: path.write_bytes(content)


# how the file is made -> exit code, what is printed
FILES = [
    (_file(HEAD.encode() + b"  a: \xff\n"), EXIT_REFUSED, ":10:6: byte 203 is not UTF-8 text"),
    (_file(HEAD.encode("utf-16")), EXIT_REFUSED, ":1:1: byte 0 is not UTF-8 text"),
    (_file(b"\xed\xa0\x80"), EXIT_REFUSED, ":1:1: byte 0 is not UTF-8 text"),
    (_file(b"a" * (LARGEST_MANIFEST + 1)), EXIT_REFUSED, f"more than {LARGEST_MANIFEST} bytes"),
    (_file(b"a" * LARGEST_MANIFEST), EXIT_REFUSED, "characters; "),
    (_file(b""), EXIT_REFUSED, "no document"),
    (os.mkfifo, EXIT_FAILED, "no regular file"),
    (lambda path: path.symlink_to("/dev/zero"), EXIT_FAILED, "no regular file"),
    (lambda path: path.symlink_to("/dev/tty"), EXIT_FAILED, ""),
    (lambda path: path.symlink_to(path), EXIT_FAILED, "symbolic links"),
    (lambda path: path.symlink_to("absent"), EXIT_FAILED, "No such file"),
    (Path.mkdir, EXIT_FAILED, "is a folder"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "code", "message"), FILES, ids=[message or "tty" for *_, message in FILES])
@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_a_file_that_is_not_a_manifest_is_refused(command, make, code, message, tmp_path):
    path = tmp_path / "job.yaml"
    make(path)
    ended = CliRunner().invoke(app, [command, str(path)], env={"TUNEWRIGHT_HOME": str(tmp_path / "home")})
    assert ended.exit_code == code, ended.output
    assert message in ended.output
    assert "→" in ended.output
