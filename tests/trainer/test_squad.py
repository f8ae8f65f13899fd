"""Rows of SQuAD: which are taken, and which are refused with which words."""

import json
from pathlib import Path

import pytest

from tunewright_contract.trainer_config import DataFile, TrainerConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.formats import BadRow, normalise, recognise
from tunewright_trainer.data.reading import read_split
from tunewright_trainer.data.rows import cost

TASK = "QuestionAnswering"
CONTEXT = "The café in Paris opens at nine, and that in Lyon at ten."
QUESTION = "When does the one in Paris open?"


def row(*answers: tuple[object, object], **changes: object) -> dict:
    texts, starts = [text for text, _ in answers], [start for _, start in answers]
    return {"id": "1", "question": QUESTION, "context": CONTEXT, "answers": {"text": texts, "answer_start": starts}, **changes}


TAKEN = {
    "an answer": (row(("nine", 27)), (["nine"], [27])),
    "several answers": (row(("at nine", 24), ("nine", 27)), (["at nine", "nine"], [24, 27])),
    "no answer": (row(), ([], [])),
    "no answer, said twice": (row(is_impossible=True), ([], [])),
    "answers as in SQuAD's own files": (row(answers=[{"text": "nine", "answer_start": 27}]), (["nine"], [27])),
    "answers in a cell of a CSV file": (row(answers='{"text": ["nine"], "answer_start": [27]}'), (["nine"], [27])),
    "an answer with white space around it": (row((" nine", 26)), (["nine"], [27])),
}


@pytest.mark.parametrize(("given", "result"), TAKEN.values(), ids=TAKEN)
def test_a_row_is_taken(given: dict, result: tuple[list[str], list[int]]) -> None:
    format_ = recognise(given, {}, TASK)
    found = normalise(given, format_=format_, columns={}, task=TASK)
    assert (format_, found) == ("squad", {"question": QUESTION, "context": CONTEXT, "answers": result[0], "starts": result[1]})


REFUSED = {
    "an answer at another place": (
        row(("nine", 20)),
        r"answers.text\[0\] 'nine' does not stand at answer_start 20 of the context, but at char",
    ),
    "the second answer": (
        row(("nine", 27), ("ten", 0)),
        r"answers.text\[1\] 'ten' does not stand at answer_start 0 of .* but at character 53",
    ),
    "the nearest of several places": (row(("in", 40)), "but at character 42"),
    "bytes instead of characters": (row(("nine", 28)), "but at character 27, which is byte 28: count characters"),
    "an answer of another text": (row(("noon", 27)), "where 'nine' stands; the context does not hold it"),
    "a start behind the context": (row(("noon", 1000)), "which has 57 characters and does not hold it"),
    "a start before the context": (row(("ten.", -4)), "does not stand at answer_start -4 of the context, but at character 53"),
    "a start that is text": (row(("nine", "27")), r"answers.answer_start\[0\] must be a whole number, not str"),
    "a start that is true": (row(("T", True)), r"answers.answer_start\[0\] must be a whole number, not bool"),
    "an empty answer": (row(("", 0)), r"answers.text\[0\] is empty; leave both lists empty where the context has no answer"),
    "an answer that is no text": (row((9, 27)), r"answers.text\[0\] must be text, not int"),
    "an empty question": (row(("nine", 27), question=" "), "'question' is empty"),
    "a question that is no text": (row(("nine", 27), question=None), "'question' must be text, not nothing"),
    "an empty context": (row(context=""), "'context' is empty"),
    "fewer starts than texts": (
        row(answers={"text": ["nine"], "answer_start": []}),
        r"answers.text has 1 entries and answers.answer_start has 0; each answer needs both",
    ),
    "answers that are one text": (row(answers="nine"), "'answers' is not JSON"),
    "answers that are nothing": (row(answers=None), "'answers' must be an object with the lists text and answer_start, not nothing"),
    "answers that are numbers": (row(answers=[1]), "'answers' must be a list of objects with text and answer_start"),
    "texts that are no list": (row(answers={"text": "nine", "answer_start": [27]}), "answers.text must be a list, not str"),
    "no starts": (row(answers={"text": ["nine"]}), "answers.answer_start must be a list, not nothing"),
    "an impossible question with an answer": (
        row(("nine", 27), is_impossible=True),
        r"'is_impossible' is true, but the row has 1 answer\(s\)",
    ),
    "no context": ({"question": QUESTION, "answers": {}}, "column 'context' is missing"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED)
def test_a_row_is_refused(given: dict, words: str) -> None:
    with pytest.raises(BadRow, match=words):
        normalise(given, format_="squad", columns={}, task=TASK)


def test_a_row_of_another_task_is_refused() -> None:
    with pytest.raises(BadRow, match="a squad row is for task QuestionAnswering; task TextGeneration takes promptCompletion or text"):
        normalise(row(("nine", 27)), format_="squad", columns={}, task="TextGeneration")


def test_rows_with_and_without_answers_are_one_set(tmp_path: Path) -> None:
    given = [row(), row(("nine", 27)), row()]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in given))
    found = read_split([DataFile(path="rows.jsonl")], settings(tmp_path))
    assert [len(each["answers"]) for each in found] == [0, 1, 0]
    assert found[1]["source"] == "rows.jsonl:2"


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    given = {"frage": QUESTION, "text": CONTEXT, "antworten": {"text": ["nine"], "answer_start": [27]}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(given) + "\n")
    columns = {"question": "frage", "context": "text", "answers": "antworten"}
    found = read_split([DataFile(path="rows.jsonl", columns=columns)], settings(tmp_path))
    assert (found[0]["question"], found[0]["answers"]) == (QUESTION, ["nine"])


def test_a_bad_row_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row(("nine", 27))) + "\n" + json.dumps(row(("nine", 3))) + "\n")
    with pytest.raises(StageError, match=r"1 problem\(s\): rows.jsonl:2: answers.text\[0\] 'nine' does not stand at answer_start 3"):
        read_split([DataFile(path="rows.jsonl")], settings(tmp_path))


def test_answers_count_to_the_memory_of_a_row() -> None:
    few, many = ({"question": "q", "context": "c", "answers": ["a"] * n, "starts": [0] * n, "source": "f:1"} for n in (1, 1000))
    assert cost(many) > cost(few) + 80_000


def settings(folder: Path) -> Settings:
    config = TrainerConfig.model_validate(
        {
            "job": {"namespace": "n", "name": "j", "uid": "u", "revision": "r"},
            "task": TASK,
            "model": {},
            "data": {"train": [{"path": "rows.jsonl"}]},
            "method": {"tuner": "full"},
            "training": {},
        }
    )
    return Settings(config, folder, folder, folder / "out", None, folder / "log")
