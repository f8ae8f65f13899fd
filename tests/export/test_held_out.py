"""The examples of an export's comparison and scores, which never exceed learned positions."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from tunewright_contract.trainer_config import DataConfig, EvaluationConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import read_splits
from tunewright_trainer.evaluation.held_out import Example, questions_too_long, read_held_out
from tunewright_trainer.evaluation.parity import GREEDY_TOKENS, Reference
from tunewright_trainer.tuning.tokenizer import load_tokenizer

CONTEXT = 256  # of the tiny models
LONG, SHORT = "x" * 300, "Is it there?"


def chats(*questions: str) -> str:
    rows = [[{"role": "user", "content": question}, {"role": "assistant", "content": "Yes."}] for question in questions]
    return "".join(json.dumps({"messages": row}) + "\n" for row in rows)


@pytest.fixture
def asking(job: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """A job whose test file has these questions."""

    def build(*questions: str, base: str = "gpt2", policy: str = "truncate", **evaluation: int) -> Settings:
        (tmp_path / "train.jsonl").write_text(chats(SHORT))
        (tmp_path / "test.jsonl").write_text(chats(*questions))
        settings = job(base=base, lora={"fan_in_fan_out": True}, evaluation=EvaluationConfig(**evaluation))
        data = DataConfig.model_validate(
            {"train": [{"path": "train.jsonl"}], "test": [{"path": "test.jsonl"}], "maxLength": CONTEXT, "overlongPolicy": policy}
        )
        return dataclasses.replace(settings, data_dir=tmp_path, config=settings.config.model_copy(update={"data": data}))

    return build


@pytest.fixture
def held_out(asking: Callable[..., Settings]):
    """Read what is held out when the test file has these questions."""

    def read(*questions: str, **options):
        settings = asking(*questions, **options)
        return read_held_out(settings, load_tokenizer(settings))

    return read


@pytest.mark.parametrize("policy", ["truncate", "drop"])
@pytest.mark.parametrize("overlong", [0, 16, 200])
def test_rows_longer_than_max_length_are_skipped(held_out, overlong: int, policy: str) -> None:
    found = held_out(*[LONG] * overlong, *[SHORT] * 20, policy=policy)
    assert [len(found.compared), len(found.scored)] == [6, 20]  # the job of these tests compares 6 prompts
    assert all(example.speaking for example in found.compared + found.scored)


@pytest.mark.parametrize("policy", ["truncate", "drop"])
def test_no_usable_row_is_refused_with_the_way_out(held_out, policy: str) -> None:
    with pytest.raises(StageError, match=r"none of the 20 example\(s\).*data.maxLength=256") as refused:
        held_out(*[LONG] * 20, policy=policy)
    assert "Raise data.maxLength" in refused.value.suggestion


def test_a_question_leaves_room_for_its_answer(held_out) -> None:
    found = held_out("x" * 240, SHORT, generate_samples=2, max_new_tokens=64)
    assert [question.text for question in found.questions] == [SHORT]


@pytest.mark.parametrize(("prompt", "answered"), [(20, GREEDY_TOKENS), (CONTEXT - 3, 3), (CONTEXT, 0)])
def test_answers_stay_within_learned_positions(tmp_path: Path, prompt: int, answered: int) -> None:
    ids = [10] * prompt
    reference = Reference([Example(ids, [False] * prompt)], [tiny.VOCAB_SIZE - 1], tmp_path)
    reference.record(tiny.gpt2())

    asked = []

    class Echo:
        def greedy(self, ids, *, max_new_tokens, stop):
            asked.append(max_new_tokens)
            return [0] * max_new_tokens

    assert all(len(pair.trained) <= answered for pair in reference.greedy_against(Echo()))
    assert asked == [answered] * bool(answered)


PASSED_OVER = {
    "none is long": ([SHORT] * 3, {"generate_samples": 2}, ""),
    "nothing is asked": ([LONG, SHORT], {"generate_samples": 0}, ""),
    "one before those that are asked": ([LONG, SHORT, SHORT], {"generate_samples": 2, "max_new_tokens": 8}, "1 of the first 3 held-out .* have more than 248 tokens, .* and 2 are used"),
    "what comes later is not looked at": ([SHORT, SHORT, LONG], {"generate_samples": 2}, ""),
    "no room for the answer": (["x" * 150, SHORT], {"generate_samples": 2, "max_new_tokens": 128}, "1 of the first 2 .* more than 128 tokens, .* and 1 are used"),
    "all": ([LONG] * 3, {"generate_samples": 2, "max_new_tokens": 8}, "3 of the first 3 .*, and no answer is compared with its reference"),
}  # fmt: skip


@pytest.mark.parametrize(("questions", "evaluation", "warning"), PASSED_OVER.values(), ids=PASSED_OVER)
def test_questions_that_are_too_long_cause_a_warning(asking, questions: list[str], evaluation: dict[str, int], warning: str) -> None:
    settings = asking(*questions, **evaluation)
    said = questions_too_long(read_splits(settings), load_tokenizer(settings), settings)
    assert len(said) == bool(warning)
    assert re.search(warning, "".join(said))
