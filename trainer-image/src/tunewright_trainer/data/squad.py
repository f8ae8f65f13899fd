"""A row of SQuAD: a question, a context and the answers in it, each with the character at which it starts.

Refuses an answer that is not at the place that the row gives. The context does not answer a question without answers (SQuAD 2).
"""

from collections.abc import Mapping
from typing import Any

from tunewright_trainer.data.rows import Row
from tunewright_trainer.data.values import BadRow, kind, structure, text

_IMPOSSIBLE = "is_impossible"  # in SQuAD 2's own files; the data sets on the hub lack it
_SHOWN = 60  # characters of a text that a message quotes


def squad_row(values: Mapping[str, Any], *, row: Row) -> Row:
    """Return `question`, `context`, `answers` and `starts`; both lists are empty where there is no answer. Raises `BadRow`."""
    question, context = text(values["question"], "question"), text(values["context"], "context")
    found = [_stripped(*_placed(answer, start, context, number)) for number, (answer, start) in enumerate(_answers(values["answers"]))]
    if found and row.get(_IMPOSSIBLE) is True:
        raise BadRow(f"{_IMPOSSIBLE!r} is true, but the row has {len(found)} answer(s); leave one of the two out")
    return {"question": question, "context": context, "answers": [answer for answer, _ in found], "starts": [start for _, start in found]}


def _answers(value: Any) -> list[tuple[Any, Any]]:
    """The texts with their starts: two lists, as on the hub, or a list of pairs, as in SQuAD's own files."""
    value = structure(value, "answers")
    if isinstance(value, list):
        if not all(isinstance(each, dict) for each in value):
            raise BadRow("'answers' must be a list of objects with text and answer_start, or one object with a list of each")
        return [(each.get("text"), each.get("answer_start")) for each in value]
    if not isinstance(value, dict):
        raise BadRow(f"'answers' must be an object with the lists text and answer_start, not {kind(value)}")
    lists: list[Any] = [value.get(name) for name in ("text", "answer_start")]
    for name, found in zip(("text", "answer_start"), lists, strict=True):
        if not isinstance(found, list):
            raise BadRow(f"answers.{name} must be a list, not {kind(found)}; it is empty where the context has no answer")
    texts, starts = lists
    if len(texts) != len(starts):
        raise BadRow(f"answers.text has {len(texts)} entries and answers.answer_start has {len(starts)}; each answer needs both")
    return list(zip(texts, starts, strict=True))


def _placed(answer: Any, start: Any, context: str, number: int) -> tuple[str, int]:
    """Check that an answer is at its place."""
    where = f"answers.text[{number}]"
    if not isinstance(answer, str):
        raise BadRow(f"{where} must be text, not {kind(answer)}")
    if not answer.strip():
        raise BadRow(f"{where} is empty; leave both lists empty where the context has no answer")
    if isinstance(start, bool) or not isinstance(start, int):
        raise BadRow(f"answers.answer_start[{number}] must be a whole number, not {kind(start)}")
    if start < 0 or context[start : start + len(answer)] != answer:
        raise BadRow(f"{where} {_short(answer)} does not stand at answer_start {start} of the context{_hint(answer, start, context)}")
    return answer, start


def _hint(answer: str, start: int, context: str) -> str:
    """Return where the answer is instead, or the text at its place."""
    before, after = context.rfind(answer, 0, max(0, start) + len(answer)), context.find(answer, max(0, start))
    places = [at for at in (before, after) if at >= 0]
    if places:
        nearest = min(places, key=lambda at: abs(at - start))
        bytes_ = start == len(context[:nearest].encode())
        return f", but at character {nearest}" + (f", which is byte {start}: count characters" if bytes_ else "")
    if not 0 <= start < len(context):
        return f", which has {len(context)} characters and does not hold it"
    return f", where {_short(context[start : start + len(answer)])} stands; the context does not hold it"


def _stripped(answer: str, start: int) -> tuple[str, int]:
    """Remove white space around an answer, because no token covers it separately."""
    return answer.strip(), start + len(answer) - len(answer.lstrip())


def _short(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
