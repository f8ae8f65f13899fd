"""`python tools/names.py`: names of the capability tables that stand as literals elsewhere are found, and other words are left alone."""

import names
import pytest

FOUND = {
    "a comparison": ('if spec.task == "ChatCompletion": ...', ["ChatCompletion"]),
    "a membership": ('if tuner in {"full", "freeze"}: ...', ["freeze", "full"]),
    "a type of its own": ('tuner: Literal["full", "lora"]', ["full", "lora"]),
    "a default": ('precision: Precision = "int8"', ["int8"]),
    "an argument": ('make(method="promptCompletion")', ["promptCompletion"]),
    "a table of its own": ('WIDTHS = {"int8": 8, "int4": 4}', ["int4", "int8"]),
    "CEL": ("cel=\"self.method.type == 'sft'\"", ["sft"]),
    "a list in CEL": ("cel=\"self.method.tuner in ['lora', 'oft']\"", ["lora", "oft"]),
    "CEL on a common word": ("cel=\"self.method.quantization.type != 'none'\"", ["none"]),
}
LEFT_ALONE = {
    "a column": 'row["messages"]',
    "a library's word": 'arguments["bf16"] = True',
    "a word of another field": 'bias == "none"',
    "a docstring": '"""Trains ChatCompletion and "lora"."""',
    "prose": 'way_out = "Set method.tuner to lora, or quantization.type to none."',
    "CEL on another field": "cel=\"self.deepspeed.offloadParam.device in ['none', 'cpu']\"",
}


@pytest.mark.parametrize("case", FOUND)
def test_a_name_outside_the_tables_is_found(case):
    source, expected = FOUND[case]
    assert [one.name for one in names.literals_in(source, "room.py")] == expected


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_other_words_are_not_reported(case):
    assert names.literals_in(LEFT_ALONE[case], "room.py") == []


def test_a_finding_names_file_and_line_and_the_way_out():
    (one,) = names.literals_in('\nif task == "Translation": ...', "room.py")
    assert str(one).startswith("room.py:2: the name 'Translation' stands outside ")


def test_an_unused_exception_is_reported(monkeypatch):
    monkeypatch.setattr(names, "ALLOWED", {("operator/src/tunewright/none.py", "lora"): "a test"})
    assert names.Literal("operator/src/tunewright/none.py", 0, "lora") in names.literals()
