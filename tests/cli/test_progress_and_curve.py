"""Output while a job runs: the progress line, and the loss curve at the end."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from stored_jobs import FAILED, SERVING, TRAINING

from tunewright.cli.live import LiveView, draw_loss, duration, headline, read_metrics, series


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({}, "pending"),
        ({"phase": "Pending", "message": "check is pending"}, "pending · check is pending"),
        ({"phase": "Waiting", "message": "claim data is missing"}, "waiting · claim data is missing"),
        ({"phase": "Checking"}, "check"),
        ({"phase": "Training"}, "train · starting"),
        (TRAINING, "train · 25 % · step 30/120 · loss 2.510 · 1,234 tokens/s · ETA 2 min 05 s"),
        ({"phase": "Training", "progress": {"step": 1, "maxSteps": 4, "evalLoss": "2.0"}}, "train · 0 % · step 1/4 · validation 2.000"),
        (
            TRAINING | {"progress": {}, "conditions": [{"type": "ChangeRefused", "message": "use one of 1, 2"}]},
            "train · starting · use one of 1, 2",
        ),
        ({"phase": "Exporting", "message": "export is running"}, "export · export is running"),
        (SERVING, "serving · the model answers at http://127.0.0.1:20001"),
        (FAILED, "failed · chat.jsonl, line 3: not JSON"),
        ({"phase": "Juggling"}, "juggling"),
    ],
)
def test_a_status_is_one_line(status, line: str):
    assert headline(status) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (125, "2 min 05 s"), (3600, "1 h 00 min"), (7800, "2 h 10 min")],
)
def test_durations_have_units(seconds: int, text: str):
    assert duration(seconds) == text


def at(percentage: int, **progress) -> dict:
    return {"phase": "Training", "progress": {"step": percentage, "maxSteps": 100, "progressPercentage": percentage, **progress}}


def printed(console: Console) -> list[str]:
    return console.export_text().splitlines()


def test_without_a_terminal_each_change_is_one_line():
    console = Console(file=io.StringIO(), record=True, soft_wrap=True)
    with LiveView(console, name="bot") as view:
        for status in (
            {"phase": "Checking", "reason": "Pending"},
            {"phase": "Checking", "reason": "Running"},
            at(1),
            at(1, tokensPerSecond="5"),
            at(2),
        ):
            view.show(status)
        view.note("a word between")
    view.show({"phase": "Failed"})
    assert printed(console) == ["bot: check", "bot: train · 1 % · step 1/100", "bot: train · 2 % · step 2/100", "a word between"]


def test_on_a_terminal_the_last_line_of_each_stage_stays():
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=120)
    with LiveView(console, name="bot") as view:
        for status in ({"phase": "Checking"}, at(1), at(99), {"phase": "Exporting"}):
            view.show(status)
    kept = re.findall(r"bot: .*", console.export_text())
    assert [line.rstrip() for line in kept] == ["bot: check", "bot: train · 99 % · step 99/100", "bot: export"]


ROWS = [{"step": step, "loss": 5.0 - step / 4} for step in range(1, 13)] + [{"step": 6, "eval_loss": 4.0}, {"step": 12, "eval_loss": 2.5}]


def test_a_curve_goes_down_from_left_to_right_within_its_width():
    drawing = draw_loss(ROWS, width=60).splitlines()
    assert max(map(len, drawing)) <= 60
    assert "training loss" in drawing[1]
    assert "validation loss" in drawing[2]
    braille = [(row, column) for row, line in enumerate(drawing[3:]) for column, cell in enumerate(line) if "⠀" < cell <= "⣿"]
    top, bottom = min(braille), max(braille)
    assert top[0] < bottom[0]
    assert top[1] < bottom[1]


def test_without_a_single_loss_nothing_is_drawn():
    assert draw_loss([], width=60) == draw_loss([{"step": 1, "loss": None}, {"step": 1, "time": 5}], width=60) == ""


def test_two_curves_in_a_row_are_the_same():
    assert draw_loss(ROWS, width=60) == draw_loss(ROWS, width=60)


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:2]) + '{"step": 3, "lo')
    assert series(read_metrics(path), "loss") == ([1, 2], [4.75, 4.5])
