"""`tunewright chat`: chat with a job's model, through the server that its place makes reachable."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from tunewright.api.v1alpha1.status import Phase
from tunewright.cli.ask import Asked, AskError, ChatTurn, stream_answer
from tunewright.cli.console import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED, err, fail, log_to_console, out, report_errors, show_error
from tunewright.cli.jobs import find
from tunewright.cli.places import Job, Place, asks_for_a_server
from tunewright.cli.result import as_asked, served_name
from tunewright.cli.terminal import Stop, typed_lines
from tunewright.local.files import NotRegularError, open_regular
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_runtime.objects import Key


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What a request to the server has beside the text."""

    max_tokens: int | None
    temperature: float
    api_key: str | None = field(repr=False)


_LONGEST_CONTEXT = 2**24  # bytes; a server refuses far shorter ones


def chat_with(place: Place, key: Key, message: str | None, *, context: Path | None, options: Answering) -> None:
    """Send one message, or converse until the end of input. Exits with 0, 1 failed, 64 the job requests no server, 130 stopped."""
    with report_errors():
        job = find(place, key)
        _refuse_unserved(place, job)
        _refuse_unused(job, options)
        text = _context(job, context, message)
        log_to_console()
        code = asyncio.run(_Chat(place, job, options, context=text).to_the_end(message))
    raise typer.Exit(code)


def _refuse_unserved(place: Place, job: Mapping[str, Any]) -> None:
    name, status = job["metadata"]["name"], job.get("status", {})
    if not asks_for_a_server(job):
        fail(f"{name} requests no server", "Put `serving: {replicas: 1}` into its spec and run it again.", code=EXIT_REFUSED)
    if status.get("phase") == Phase.FAILED:
        fail(f"{name} has failed: {status.get('message', '')}", f"See: {place.command(f'describe {name}', job['metadata']['namespace'])}")


def _refuse_unused(job: Mapping[str, Any], wanted: Answering) -> None:
    """Exit with 64 if an option would be ignored: a model that reads whole texts generates nothing."""
    given = [option for option, value in (("--max-tokens", wanted.max_tokens), ("--temperature", wanted.temperature)) if value]
    if given and not TASKS[job["spec"]["task"]].generates:
        task, name = job["spec"]["task"], job["metadata"]["name"]
        fail(f"{given[0]}: the model of {name} (task {task}) reads a text and generates nothing", "Leave it out.", code=EXIT_REFUSED)


def _context(job: Mapping[str, Any], path: Path | None, message: str | None) -> str | None:
    """Read the text that questions are about. Exit with 64 if the task needs one and has none, or has no use for one."""
    task, name = job["spec"]["task"], job["metadata"]["name"]
    if not TASKS[task].windows:
        if path is not None:
            fail(f"--context-file: the model of {name} (task {task}) reads no context", "Leave it out.", code=EXIT_REFUSED)
        return None
    if path is None:
        if "\n" not in (message or ""):
            fail(
                f"the model of {name} (task {task}) answers from a text, and there is none",
                "Name a file: --context-file FILE",
                code=EXIT_REFUSED,
            )
        return None
    try:
        with open_regular(path) as file:
            return file.read(_LONGEST_CONTEXT).decode()
    except (OSError, NotRegularError, UnicodeDecodeError) as error:
        fail(f"--context-file: {path} cannot be read: {error}", "Name a file of text in UTF-8.", code=EXIT_REFUSED)


class _Chat:
    """One conversation."""

    def __init__(self, place: Place, job: Job, options: Answering, *, context: str | None = None) -> None:
        self._place = place
        self._job = job
        self._options = options
        self._context = context

    async def to_the_end(self, message: str | None) -> int:
        """Return the exit code."""
        stop = Stop(again=lambda: None)
        async with self._place.server(self._job, stop) as job:
            return EXIT_INTERRUPTED if job is None else await self._converse(job, message, stop)

    async def _converse(self, job: Mapping[str, Any], message: str | None, stop: Stop) -> int:
        talk = self._one(job, message) if message is not None else self._many(job)
        code = await stop.unless(talk)
        return EXIT_INTERRUPTED if code is None else code

    def _asked(self, job: Mapping[str, Any], said: str) -> Asked:
        return as_asked(job, said if self._context is None else f"{said.strip()}\n{self._context}")

    async def _one(self, job: Mapping[str, Any], message: str) -> int:
        await self._answer(job, self._asked(job, message))
        return 0

    async def _many(self, job: Mapping[str, Any]) -> int:
        """Converse until the end of input. A refused message is removed; with piped input the exit code is then 1."""
        history: list[ChatTurn] = []
        refused = False
        self._prompt()
        async for said in typed_lines(sys.stdin.fileno()):
            if said.strip():
                asked = self._asked(job, said)
                turn = [] if isinstance(asked, str) else list(asked)
                try:
                    answer = await self._answer(job, asked if isinstance(asked, str) else [*history, *turn])
                except AskError as error:
                    show_error(str(error))
                    refused = True
                else:
                    history += [*turn, {"role": "assistant", "content": answer}]
            self._prompt()
        return EXIT_FAILED if refused and not sys.stdin.isatty() else 0

    async def _answer(self, job: Mapping[str, Any], asked: Asked) -> str:
        pieces = []
        try:
            async for piece in stream_answer(
                job["status"]["serving"]["url"],
                model=served_name(job),
                asked=asked,
                max_tokens=self._options.max_tokens,
                temperature=self._options.temperature,
                api_key=self._options.api_key,
            ):
                pieces.append(piece)
                out.print(piece, end="", markup=False)
        finally:
            if pieces:
                out.print()
        return "".join(pieces)

    @staticmethod
    def _prompt() -> None:
        if sys.stdin.isatty():
            err.print("> ", end="", markup=False)
