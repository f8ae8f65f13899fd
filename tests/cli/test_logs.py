"""`tunewright logs`: the selected pods and lines."""

import os
from pathlib import Path

import pytest
from sleeping import replace_sleep

GANG = {
    "support-bot-check-aaaaa": "checking\nfine\n",
    "support-bot-train-0-0-bbbbb": "attempt 0, rank 0\n",
    "support-bot-train-0-1-ccccc": "attempt 0, rank 1\n",
    "support-bot-train-1-0-ddddd": "attempt 1, rank 0\nstep 1\nstep 2\n",
    "support-bot-train-1-1-eeeee": "attempt 1, rank 1",
}
SERVERS = {"support-bot-serve-0123456789-fffff": "first server\n", "support-bot-serve-0123456789-ggggg": "second server\n"}


@pytest.fixture
def print_logs(home, stored):
    """Let pods print, one after the other."""
    key = stored()
    folder: Path = home.log_folder(key)
    folder.mkdir(parents=True)

    def write(logs: dict[str, str]) -> None:
        for age, (pod, text) in enumerate(reversed(logs.items())):
            path = folder / f"{pod}.log"
            path.write_bytes(text.encode())
            os.utime(path, (1_000_000 - age, 1_000_000 - age))

    return write


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            [],
            [
                "support-bot-train-1-0-ddddd | attempt 1, rank 0",
                *(f"support-bot-train-1-0-ddddd | step {step}" for step in (1, 2)),
                "support-bot-train-1-1-eeeee | attempt 1, rank 1",
            ],
        ),
        (["--rank", "1"], ["attempt 1, rank 1"]),
        (["--rank", "0", "--tail", "2"], ["step 1", "step 2"]),
        (["--rank", "0", "--tail", "0"], []),
        (["--stage", "check"], ["checking", "fine"]),
        (
            ["--stage", "train", "--rank", "0", "--all", "--tail", "1"],
            ["support-bot-train-0-0-bbbbb | attempt 0, rank 0", "support-bot-train-1-0-ddddd | step 2"],
        ),
    ],
    ids=["newest attempt", "one rank", "tail", "no lines", "a stage", "all attempts"],
)
def test_lines_of_the_newest_pods_are_shown(call, print_logs, arguments: list[str], lines: list[str]):
    print_logs(GANG)
    ended = call("logs", "support-bot", *arguments)
    assert (ended.exit_code, sorted(ended.stdout.splitlines())) == (0, sorted(lines))


def test_only_the_last_servers_lines_are_shown(call, print_logs):
    print_logs(GANG | SERVERS)
    assert call("logs", "support-bot").stdout == "second server\n"
    assert len(call("logs", "support-bot", "--all").stdout.splitlines()) == 2


def test_a_redrawn_progress_bar_shows_its_last_state(call, print_logs):
    print_logs({"support-bot-check-aaaaa": "10 %\r50 %\r100 %\nend\r\n"})
    assert call("logs", "support-bot").stdout == "100 %\nend\n"


def test_invalid_utf8_does_not_end_the_output(call, print_logs, home):
    print_logs({"support-bot-check-aaaaa": "x"})
    (home.log_folder(("default", "support-bot")) / "support-bot-check-aaaaa.log").write_bytes(b"caf\xe9 [bold]\n")
    assert call("logs", "support-bot").stdout == "caf� [bold]\n"


def test_following_shows_each_old_and_new_line_once_until_ctrl_c(call, print_logs, home, monkeypatch: pytest.MonkeyPatch):
    print_logs(GANG)
    folder = home.log_folder(("default", "support-bot"))
    script = iter(
        [
            lambda: (folder / "support-bot-train-1-1-eeeee.log").write_text("attempt 1, rank 1 goes on\n"),
            lambda: (folder / "support-bot-export-hhhhh.log").write_text("exporting\n"),
        ]
    )

    def wait(_seconds: float) -> None:
        step = next(script, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    replace_sleep(monkeypatch, "tunewright.cli.machine", wait, library="time")
    ended = call("logs", "support-bot", "-f", "--tail", "1")
    assert ended.exit_code == 130
    assert ended.stdout.splitlines() == [
        "support-bot-train-1-0-ddddd | step 2",
        "support-bot-train-1-1-eeeee | attempt 1, rank 1 goes on",
        "support-bot-export-hhhhh | exporting",
    ]
