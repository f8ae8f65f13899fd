"""`tunewright chat`: talk to a job's model. Starts the server if nobody runs the job, and stops it again."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tunewright.cli.ask import AskError, Message, stream_answer
from tunewright.cli.console import EXIT_REFUSED, err, fail, out
from tunewright.cli.local_operator import LocalOperator, settled
from tunewright.cli.result import served_name
from tunewright.errors import TunewrightError
from tunewright.local.app import Home


def chat_with(home: Home, key: tuple[str, str], message: str | None, *, max_tokens: int, temperature: float) -> None:
    """Answer one message, or converse until the end of input."""
    try:
        job = home.job(key)
        if not job["spec"].get("serving"):
            fail(f"{key[1]} has no `serving`, so nothing answers", "Add `serving: {replicas: 1}` and run it again.", code=EXIT_REFUSED)
        if job.get("status", {}).get("phase") not in {"Serving", "Deploying"}:
            fail(
                f"{key[1]} is not served yet: {job.get('status', {}).get('phase', 'Pending')}",
                "Take it there first: tunewright run MANIFEST",
            )
        asyncio.run(_chat(home, key, message, max_tokens=max_tokens, temperature=temperature))
    except (TunewrightError, AskError) as error:
        fail(str(error))


async def _chat(home: Home, key: tuple[str, str], message: str | None, *, max_tokens: int, temperature: float) -> None:
    if home.holder(key) is not None:  # somebody runs it: its server is up
        await _converse(home.job(key), message, max_tokens=max_tokens, temperature=temperature)
        return
    async with LocalOperator(home, key, on_event=lambda _: None) as operator:
        err.print(f"starting {key[1]} …", style="dim", markup=False)
        job = await operator.wait(settled)
        if job["status"]["phase"] != "Serving":
            fail(f"{key[1]}: {job['status'].get('message')}", f"See: tunewright describe {key[1]}")
        await _converse(job, message, max_tokens=max_tokens, temperature=temperature)


async def _converse(job: Mapping[str, Any], message: str | None, *, max_tokens: int, temperature: float) -> None:
    url, model = job["status"]["serving"]["url"], served_name(job)
    history: list[Message] = []
    while (said := message if message is not None else await _next_line()) is not None:
        if not said.strip():
            continue
        history.append({"role": "user", "content": said})
        pieces = []
        async for piece in stream_answer(url, model=model, messages=history, max_tokens=max_tokens, temperature=temperature):
            pieces.append(piece)
            out.print(piece, end="", markup=False)
        out.print()
        if message is not None:
            return
        history.append({"role": "assistant", "content": "".join(pieces)})


async def _next_line() -> str | None:
    """Read a line without holding up the server's supervision; None at the end of input."""
    try:
        return await asyncio.to_thread(input, "> ")
    except EOFError:
        return None
