"""Detects the format of one row and validates it: OpenAI `messages`, `promptCompletion`, `labeledText`, `multiLabelText`, `squad`,
`taggedWords`, `text`.

Promises the task's own shape: `{"messages": [...]}` for conversations, `{"text": str, "label": str}` for classification, or `labels` in a
list where several can hold, that of `squad_row` for question answering and of `tagged_row` for named entities, else
`{"prompt": str, "completion": str}` (the prompt of a `text` row is empty). Refuses unknown roles, tools and content that is not text,
because it would have to drop or guess them.
"""

from collections.abc import Mapping
from typing import Any

from tunewright_contract.capabilities.data_formats import DATA_FORMATS, LABELED_TEXT, MESSAGES, MULTI_LABEL_TEXT, SQUAD, TAGGED_WORDS, TEXT
from tunewright_contract.capabilities.tasks import TASKS, tasks_of
from tunewright_trainer.data.rows import Row
from tunewright_trainer.data.squad import squad_row
from tunewright_trainer.data.tagged import tagged_row
from tunewright_trainer.data.values import BadRow, kind, structure, text

ROLES = ("system", "user", "assistant")
_LONGEST_LABEL = 128  # characters
_UNSUPPORTED = ("tools", "functions", "tool_calls", "function_call", "parallel_tool_calls")


def recognise(row: Row, columns: Mapping[str, str], task: str) -> str:
    """Return a row's format by its columns, the task's formats first. Raises `BadRow` with the columns found."""
    names = dict.fromkeys((*(name for name in DATA_FORMATS if name in TASKS[task].formats), *DATA_FORMATS.supported))
    needed = {name: DATA_FORMATS[name].columns for name in names}
    for name, wanted in needed.items():
        if all(_is_in(row, columns.get(column, column)) for column in wanted):
            return name
    found = ", ".join(map(str, row)) or "(none)"
    known = "; ".join(f"{name} ({', '.join(wanted)})" for name, wanted in needed.items())
    raise BadRow(f"unknown format: the columns are {found}; known formats are {known}; map your columns with `columns` beside the source")


def normalise(row: Row, *, format_: str, columns: Mapping[str, str], task: str) -> Row:
    """Return a row in the task's shape. Raises `BadRow`.

    For a task of conversations, a `promptCompletion` row is one user turn and one assistant turn.
    """
    values = {column: _take(row, columns.get(column, column)) for column in DATA_FORMATS[format_].columns}
    _refuse_tools(row)
    if format_ not in TASKS[task].formats:
        raise BadRow(f"a {format_} row is for task {' or '.join(tasks_of(format_))}; task {task} takes {' or '.join(TASKS[task].formats)}")
    if format_ == MESSAGES.name:
        return {"messages": _messages(values["messages"])}
    if format_ == LABELED_TEXT.name:
        return {"text": text(values["text"], "text"), "label": _label(values["label"], "label")}
    if format_ == MULTI_LABEL_TEXT.name:
        return {"text": text(values["text"], "text"), "labels": _labels(values["labels"])}
    if format_ == SQUAD.name:
        return squad_row(values, row=row)
    if format_ == TAGGED_WORDS.name:
        return tagged_row(values)
    if format_ == TEXT.name:
        return {"prompt": "", "completion": text(values["text"], "text")}
    prompt, completion = text(values["prompt"], "prompt"), text(values["completion"], "completion")
    if not TASKS[task].needs_chat_template:
        return {"prompt": prompt, "completion": completion}
    return {"messages": _messages([{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}])}


def _is_in(row: Row, column: str) -> bool:
    outer, _, inner = column.partition(".")
    held = row.get(outer)
    return column in row or (isinstance(held, dict) and inner in held)


def _take(row: Row, column: str) -> Any:
    """Return the value of a column; `translation.en` is the entry `en` of the column `translation`, unless a column has that very name."""
    outer, _, inner = column.partition(".")
    try:
        return row[column] if column in row or not isinstance(row.get(outer), dict) else row[outer][inner]
    except KeyError:
        raise BadRow(f"column {column!r} is missing; the row has {', '.join(map(str, row)) or 'none'}") from None


def _refuse_tools(row: Row) -> None:
    found = [name for name in _UNSUPPORTED if row.get(name)]
    if found:
        raise BadRow(f"{found[0]!r} is not supported yet; leave tool calls out of the training data")


def _label(value: Any, where: str) -> str:
    """Return a label as text. Class numbers are accepted, because they are as common as names."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow(f"{where!r} must be text or a whole number, not {kind(value)}")
    label = str(value).strip()
    if not 0 < len(label) <= _LONGEST_LABEL:
        raise BadRow(f"{where!r} has {len(label)} characters; it must have 1 to {_LONGEST_LABEL}")
    return label


def _labels(value: Any) -> list[str]:
    """Return the labels of a text, which may have none."""
    value = structure(value, "labels")
    if not isinstance(value, list):
        raise BadRow(f"'labels' must be a list, not {kind(value)}; one label for each text is task {tasks_of(LABELED_TEXT.name)[0]}")
    labels = [_label(each, f"labels[{index}]") for index, each in enumerate(value)]
    if repeated := next((label for label in labels if labels.count(label) > 1), None):
        raise BadRow(f"'labels' has {repeated!r} twice")
    return labels


def _messages(value: Any) -> list[Row]:
    value = structure(value, "messages")
    if not isinstance(value, list):
        raise BadRow(f"'messages' must be a list, not {kind(value)}")
    if not value:
        raise BadRow("'messages' is empty")
    messages = [_message(message, index) for index, message in enumerate(value)]
    trained = [message for message in messages if message["role"] == "assistant" and message["weight"] == 1]
    if not any(message["role"] == "assistant" for message in messages):
        raise BadRow("no message with role 'assistant', so there is nothing to train on")
    if not trained:
        raise BadRow("every assistant message has weight 0, so there is nothing to train on")
    return messages


def _message(message: Any, index: int) -> Row:
    where = f"messages[{index}]"
    if not isinstance(message, dict):
        raise BadRow(f"{where} must be an object with role and content, not {kind(message)}")
    role = message.get("role")
    if role not in ROLES:
        raise BadRow(f"{where}.role is {role!r}; known roles are {', '.join(ROLES)}")
    _refuse_tools(message)
    content = message.get("content")
    if not isinstance(content, str):
        raise BadRow(f"{where}.content must be text, not {kind(content)}")
    if not content.strip():
        raise BadRow(f"{where}.content is empty")
    weight = message.get("weight")
    weight = 1 if weight is None else weight
    if weight not in (0, 1) or (role != "assistant" and "weight" in message and message["weight"] is not None):
        raise BadRow(f"{where}.weight is {weight!r}; it must be 0 or 1, and only assistant messages can have it")
    return {"role": role, "content": content, "weight": int(weight)}
