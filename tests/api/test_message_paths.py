"""Errors name fields that exist.

Each path such as `training.learningRate`, and each word such as `learningRate`, in the texts of all rooms is looked up in the API.
"""

import ast
import re
from pathlib import Path

import pytest

from tunewright.api.field_names import model_at, names_in, places_of
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.data_formats import DATA_FORMATS
from tunewright_contract.capabilities.tuners import TUNERS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("operator/src", "trainer-image/src", "server-image/src")
PARTS = "|".join(name for name in names_in(FineTuneJobSpec) if model_at(["spec", name]) is not None)
PATH = re.compile(rf"(?<![\w./}}`-])(?:spec\.)?(?P<path>(?:{PARTS})(?:\.[A-Za-z][A-Za-z0-9_]*)+)(?![\w/(])")
# Names of files, weights and Python modules that begin like a path. Each is a whole match.
OTHERS = re.compile(
    r".*\.(json|jsonl|onnx|safetensors|py)|model\.(onnx\.data|safetensors\.index\.json|decoder)"
    r"|model\.(layers|embed_tokens\.weight|norm\.weight|final_layernorm)|deepspeed\.(zero|comm|ops|runtime).*"
)
WORD = re.compile(r"(?<![\w./}-])[a-z][a-z0-9]*[A-Z][A-Za-z0-9]*(?![\w(])")
VALUES = {*DATA_FORMATS, *TUNERS}
KUBERNETES = {"envFrom", "httpGet", "preStop", "subPath", "tcpSocket"}
OTHER_WORDS = {"camelCase", "mT5", "oldObject", "oldSelf", "vLLM"}


def texts(source):
    """Yield (line, text) of each string that is no docstring; the parts of an f-string are joined by `{}`."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (prose | inner):
            yield node.lineno, node.value


def unknown_paths(source):
    """Return (line, path) of what reads like a field and is none."""
    found = []
    for line, text in texts(source):
        for match in PATH.finditer(text):
            path = match["path"]
            if not OTHERS.fullmatch(path) and not exists(path.split(".")):
                found.append((line, path))
    return found


def exists(steps):
    *above, last = steps
    owner = model_at(["spec", *above])
    if owner is not None and last in names_in(owner):
        return True
    # Below a map, such as deepspeed.config or workers.resources.limits, names are not the API's.
    return any(model_at(["spec", *steps[:depth]]) is None and exists(steps[:depth]) for depth in range(2, len(steps)))


def unknown_words(source):
    """Return (line, word) of what is spelt like a field, in a text of several words, and is none."""
    sentences = [(line, text) for line, text in texts(source) if " " in text]
    words = [(line, match[0]) for line, text in sentences for match in WORD.finditer(text)]
    return [(line, word) for line, word in words if not places_of(word) and word not in VALUES | KUBERNETES | OTHER_WORDS]


@pytest.mark.parametrize("source", SOURCES)
def test_words_that_are_spelt_like_fields_are_fields(source):
    files = sorted((ROOT / source).rglob("*.py"))
    assert [f"{file.relative_to(ROOT)}:{line}: {word}" for file in files for line, word in unknown_words(file.read_text())] == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([], '"Set saveSteps, or bring promptCompletion."'),
        ([], '"terminationGracePeriodSeconds"'),  # a key of a pod, not a message
        ([(1, "terminationGracePeriodSeconds")], '"Raise terminationGracePeriodSeconds."'),
        ([(1, "lossWeight")], 'f"{value} needs one lossWeight for each loss"'),
    ],
)
def test_a_word_that_is_no_field_is_found(found, text):
    assert unknown_words(f"message = {text}") == found


@pytest.mark.parametrize("source", SOURCES)
def test_messages_name_fields_that_exist(source):
    files = sorted((ROOT / source).rglob("*.py"))
    assert [f"{file.relative_to(ROOT)}:{line}: {path}" for file in files for line, path in unknown_paths(file.read_text())] == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([], '"Set training.learningRate, or spec.method.lora.r."'),
        ([], '"workers.resources.limits.memory and deepspeed.config.optimizer are maps"'),
        ([], '"model.onnx is a file"'),
        ([(1, "training.packing")], '"training.packing is elsewhere"'),
        ([(1, "method.lora.rank")], 'f"spec.method.lora.rank {value} is too large"'),
        ([(1, "training.per_device")], '"training.per_device is spelled as in Python"'),
    ],
)
def test_a_path_that_does_not_exist_is_found(found, text):
    assert unknown_paths(f"message = {text}") == found
