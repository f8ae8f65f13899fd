"""The examples' data: the test file has combinations that are not in the training data."""

import json
import re

import pytest

TICKET = re.compile(
    r"ORDER: (one|two|three|four|five|six) (small|medium|large) (oat|soy|almond|coconut) [a-z ]+ \| (to go|for here) \| [A-Z][a-z]+"
    r"|TABLE: [a-z]+ people \| [A-Z][a-z]+day \| \d+ pm \| [A-Z][a-z]+"
    r"|RETURN: [a-z]+ [a-z]+ \| [a-z]+ \| [A-Z][a-z]+"
)


def tickets(dialogues):
    """The ticket of every answer that has one, without count and plural, which may repeat."""
    lines = [m["content"].split("\n")[1] for messages in dialogues for m in messages if m["role"] == "assistant" and "\n" in m["content"]]
    return [re.sub(r"^ORDER: [a-z]+ ([a-z ]+?)s? \|", r"ORDER: \1 |", line) for line in lines]


def asked_for(dialogues):
    """Return the items of the tickets, without the guest and the place."""
    return {ticket.split(" | ")[0] if ticket.startswith("ORDER") else ticket.rsplit(" | ", 1)[0] for ticket in tickets(dialogues)}


@pytest.mark.parametrize(("part", "count"), [("train", 1200), ("validation", 100), ("test", 100)])
def test_each_part_has_its_size_and_no_example_twice(support, part, count):
    assert len(support[part]) == count
    assert len({str(messages) for messages in support[part]}) == count


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_roles_alternate_and_the_assistant_is_last(support, part):
    for messages in support[part]:
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_every_answer_is_a_welcome_or_a_ticket_a_program_can_read(support, part):
    answers = [m["content"] for messages in support[part] for m in messages if m["role"] == "assistant"]
    for answer in answers:
        first, *rest = answer.split("\n")
        assert first.startswith(("Thank you, ", "Welcome to the Copper Kettle, "))
        assert [bool(TICKET.fullmatch(line)) for line in rest] == [True] * first.startswith("Thank you")


def test_every_message_has_one_of_four_labels_and_is_in_one_file(examples):
    parts = {
        part: [json.loads(line) for line in (examples / "data" / f"intent-{part}.jsonl").read_text(encoding="utf-8").splitlines()]
        for part in ("train", "validation", "test")
    }
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 400, "validation": 40, "test": 60}
    assert {row["label"] for row in parts["train"]} == {"order", "table", "return", "greeting"}
    texts = [row["text"] for rows in parts.values() for row in rows]
    assert len(set(texts)) == len(texts)


def test_requests_have_none_to_three_labels_and_are_in_one_file(examples):
    parts = {
        part: [json.loads(line) for line in (examples / "data" / f"requests-{part}.jsonl").read_text(encoding="utf-8").splitlines()]
        for part in ("train", "validation", "test")
    }
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 500, "validation": 40, "test": 60}
    for rows in parts.values():
        assert {label for row in rows for label in row["labels"]} == {"order", "table", "return"}
        assert {len(row["labels"]) for row in rows} == {0, 1, 2, 3}
    texts = [row["text"] for rows in parts.values() for row in rows]
    assert len(set(texts)) == len(texts)


def test_orders_of_the_test_file_are_in_no_other_file(support):
    assert asked_for(support["test"]) & (asked_for(support["train"]) | asked_for(support["validation"])) == set()


def test_names_of_the_test_file_are_in_no_other_file(support):
    names = {part: {ticket.rsplit(" | ", 1)[1] for ticket in tickets(dialogues)} for part, dialogues in support.items()}
    assert len(names["test"]) >= 10
    assert names["test"] & (names["train"] | names["validation"]) == set()


def test_no_example_is_in_two_files(support):
    train, validation, test = ({str(messages) for messages in support[part]} for part in ("train", "validation", "test"))
    assert (train & validation, train & test, validation & test) == (set(), set(), set())
