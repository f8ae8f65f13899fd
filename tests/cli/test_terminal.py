"""Typed lines, and Ctrl-C."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tunewright.cli.console import columns
from tunewright.cli.terminal import Stop, typed_lines


async def read(descriptor: int) -> list[str]:
    return [line async for line in typed_lines(descriptor)]


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\n\ntwo", ["one", "", "two"]),
        (b"one\r\n", ["one"]),
        ("flat white 🙂\n".encode(), ["flat white 🙂"]),
        (b"caf\xe9\n", ["caf�"]),
    ],
)
async def test_lines_are_read_from_files_and_pipes(tmp_path: Path, typed: bytes, lines: list[str]):
    (tmp_path / "typed").write_bytes(typed)
    with (tmp_path / "typed").open("rb") as file:
        assert await read(file.fileno()) == lines
    reading, writing = os.pipe()
    os.write(writing, typed)
    os.close(writing)
    assert await read(reading) == lines
    os.close(reading)


async def test_waiting_for_input_does_not_block_other_work():
    reading, writing = os.pipe()
    task = asyncio.create_task(read(reading))
    await asyncio.sleep(0)
    assert not task.done()
    os.write(writing, b"he")
    await asyncio.sleep(0)
    os.write(writing, b"llo\n")
    os.close(writing)
    assert await task == ["hello"]
    os.close(reading)


async def test_waiting_for_a_line_can_be_cancelled():
    reading, writing = os.pipe()
    task = asyncio.create_task(read(reading))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_stops_gracefully_and_the_second_at_once(number: signal.Signals):
    hurried = []
    stop = Stop(again=lambda: hurried.append(True))
    stop.listen()
    cancelled = asyncio.Event()

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    assert await stop.unless(work()) is None
    assert (cancelled.is_set(), hurried) == (True, [])
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.01)
    assert hurried == [True]


async def test_work_that_ends_first_returns_its_result_or_error():
    stop = Stop(again=lambda: None)

    async def fine() -> int:
        return 7

    async def bad() -> int:
        raise ValueError("no")

    assert await stop.unless(fine()) == 7
    with pytest.raises(ValueError, match="no"):
        await stop.unless(bad())


def test_columns_are_as_wide_as_their_widest_cell_on_the_screen():
    assert columns([("A", "B", "C"), ("long", "", "x"), ("日本", "y", "")], indent=" ") == " A      B   C\n long       x\n 日本   y"
