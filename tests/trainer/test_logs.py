"""What the trainer writes for people holds no control characters, whatever a user's files are called or hold."""

import io
import json
import logging
from pathlib import Path

import pytest
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.text import holds_control
from tunewright_trainer import __main__ as program
from tunewright_trainer.common.exits import StageError, read_termination
from tunewright_trainer.common.logs import set_up

progress = lazily("tunewright_trainer.tuning.progress")
transformers = lazily("transformers")

HOSTILE = {
    "clears the screen": "a\x1b[2Jb",
    "retitles the window": "a\x1b]0;owned\x07b",
    "C1": "a\x9b2Jb",
    "overwrites its line": "good\rb",
    "reads backwards": "a\u202eb",
    "passes for another line": "a\n2026-01-01 00:00:00,000 INFO all is well",
    "a lone surrogate": "a\ud800b",
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    set_up("[rank 1] ", stream)
    return stream


def lines(written: io.StringIO) -> list[str]:
    return written.getvalue().splitlines()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_of_the_log_stays_one_line_of_plain_text(written: io.StringIO, text: str) -> None:
    logging.getLogger("tunewright_trainer.check").warning("row %s", text)
    first, *others = lines(written)
    assert "[rank 1] row " in first
    assert not any(holds_control(line) for line in (first, *others))
    assert all(line.startswith("    ") for line in others)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("error", [ValueError, lambda text: StageError(ExitCode.DATA, "DataInvalid", text, text)], ids=["a bug", "typed"])
def test_a_failure_has_no_control_characters_in_log_and_report(written: io.StringIO, tmp_path: Path, error, text: str) -> None:
    def fail() -> None:
        raise error(text)

    assert program._guarded(fail, tmp_path / "termination-log") != 0
    assert not any(holds_control(line) for line in lines(written))
    assert len([line for line in lines(written) if not line.startswith("    ")]) == 1
    report = read_termination(tmp_path / "termination-log")
    assert report is not None
    assert not any(holds_control(line) for line in (*report.message.split("\n"), *report.suggestion.split("\n")))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_metrics_are_ascii_lines(tmp_path: Path, text: str) -> None:
    state, arguments = (
        transformers.TrainerState(global_step=1, max_steps=2),
        transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True),
    )
    progress.MetricsCallback(tmp_path / "metrics.jsonl").on_log(
        arguments, state, transformers.TrainerControl(), {"loss": 1.0, "grad_norm": text, text: 1.0}
    )
    (line,) = (tmp_path / "metrics.jsonl").read_bytes().splitlines()
    assert all(32 <= byte < 127 for byte in line)
    assert json.loads(line)["step"] == 1
