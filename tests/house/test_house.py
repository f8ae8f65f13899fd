"""Faults that tools/house.py finds."""

import ast

import pytest
from house import lines_that_name_a_job, repeated_names, second_homes


@pytest.mark.parametrize(
    ("expected", "files"),
    [
        pytest.param([], {"a.py": "class Key: ...", "b.py": "class Other: ..."}, id="two names"),
        pytest.param(["b.py:2: a second class Key; the first is a.py:1"], {"a.py": "class Key: ...", "b.py": "\nclass Key: ..."}, id="one"),
        pytest.param(
            ["a.py:3: a second class Key; the first is a.py:1"], {"a.py": "class Key: ...\nclass Outer:\n  class Key: ..."}, id="nested"
        ),
        pytest.param([], {"a.py": "class _Key: ...", "b.py": "class _Key: ..."}, id="a file's own"),
    ],
)
def test_class_names_are_unique(expected, files):
    assert repeated_names({name: ast.parse(text) for name, text in files.items()}) == expected


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ([], "kind = scheme.primary"),
        ([1], 'KIND = "FineTuneJob"'),
        ([2], '\nPATH = "/finetunejobs"'),
        ([1], 'LABEL = "tunewright.io/job-uid"'),
    ],
)
def test_the_runtime_does_not_name_fine_tune_jobs(expected, text):
    assert lines_that_name_a_job(text) == expected


@pytest.mark.parametrize(
    ("expected", "file", "text"),
    [
        ([("Key", 1)], "operator/src/tunewright/local/world.py", "Key = tuple[str, str]"),
        ([("Manifest", 2)], "operator/src/tunewright/cli/main.py", "\nclass Manifest: ..."),
        ([], "operator/src/tunewright_runtime/objects.py", "class Key: ..."),
        ([], "operator/src/tunewright/kube/world.py", "from tunewright_runtime.objects import Key"),
    ],
)
def test_a_type_of_the_runtime_has_one_definition(expected, file, text):
    assert second_homes(file, ast.parse(text)) == expected
