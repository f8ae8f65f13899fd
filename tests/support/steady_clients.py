"""Clients that ask a served model without pause, each in its own way, and never a second time: a request that is lost is noted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

PATIENCE_SECONDS = 240


class Clients:
    """Three clients of a served model. `answer_tokens`: the length of a streamed answer."""

    def __init__(self, url: str, model: str, *, answer_tokens: int) -> None:
        self._url = f"{url}/v1"
        self._question: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Where is Paris?"}], "temperature": 0}
        self._long: dict[str, Any] = {"max_tokens": answer_tokens, "stream": True, "extra_body": {"ignore_eos": True}}
        self._stop = asyncio.Event()
        self._news = asyncio.Condition()
        self.answers = dict.fromkeys(("kept connection", "new connections", "streams"), 0)
        self.failures: list[str] = []

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for how in self.answers:
                group.create_task(self._ask(how))
            try:
                yield
            finally:
                self._stop.set()

    async def _ask(self, how: str) -> None:
        kept = self._client()
        while not self._stop.is_set():
            client = self._client() if how == "new connections" else kept
            try:
                await (self._stream(client) if how == "streams" else client.chat.completions.create(**self._question, max_tokens=4))
                self.answers[how] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the request was lost
                self.failures.append(f"{how}: {type(error).__name__}: {error} {error.__cause__!r}")
            async with self._news:
                self._news.notify_all()
            if client is not kept:
                await client.close()
            await asyncio.sleep(0.01)  # a machine of two cores has other things to do, too
        await kept.close()

    async def _stream(self, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(**self._question, **self._long)
        ends = [chunk.choices[0].finish_reason async for chunk in stream]
        assert ends[-1] == "length", ends[-1]

    async def answered(self) -> None:
        """Wait until each of them has had another answer, or one of them none."""
        before = dict(self.answers)
        async with self._news:
            await self._news.wait_for(lambda: self.failures or all(self.answers[how] > before[how] for how in before))

    def _client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self._url, api_key="none", max_retries=0, timeout=PATIENCE_SECONDS)
