"""/livez, /readyz and /metrics.

A process that answers is not yet one that works (K5). Live means: no job has waited long for a worker, and the watch has shown every job
that a list shows (K2: a watch can die silently). Ready means: live, and the first look at the jobs is over.
"""

from collections.abc import Callable, Mapping

from aiohttp import web

from tunewright.shell.metrics import CONTENT_TYPE, Metrics

QUEUE_SECONDS = 300.0  # for how long a key may wait for a worker
BLIND_SECONDS = 120.0  # for how long the watch may fail to show a job that is there


class Sight:
    """Compares what a list shows with what the watch has shown. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._unseen_since: dict[str, float] = {}
        self.looked = False

    def compare(self, listed: Mapping[str, object], known: Mapping[str, object], *, now: float) -> None:
        """Take the uids of both."""
        unseen = listed.keys() - known.keys()
        self._unseen_since = {uid: self._unseen_since.get(uid, now) for uid in unseen}
        self.looked = True

    def blind_seconds(self, *, now: float) -> float:
        """Return for how long the watch has failed to show something."""
        return max((now - since for since in self._unseen_since.values()), default=0.0)


class Health:
    """Judges the process."""

    def __init__(self, sight: Sight, *, oldest_seconds: Callable[[], float], clock: Callable[[], float]) -> None:
        self._sight = sight
        self._oldest_seconds = oldest_seconds
        self._clock = clock

    def ailments(self) -> list[str]:
        """Return what is wrong; nothing when all is well."""
        found = []
        if (waited := self._oldest_seconds()) > QUEUE_SECONDS:
            found.append(f"a FineTuneJob has waited {waited:.0f} s for a worker")
        if (blind := self._sight.blind_seconds(now=self._clock())) > BLIND_SECONDS:
            found.append(f"the watch has not shown a FineTuneJob that was there {blind:.0f} s ago")
        return found

    def unready(self) -> list[str]:
        """Return why work has not begun, or is not going on."""
        return self.ailments() or ([] if self._sight.looked else ["the API server has not been reached yet"])


def application(health: Health, metrics: Metrics) -> web.Application:
    """Build the endpoints."""

    def verdict(ailments: list[str]) -> web.Response:
        return web.Response(status=503 if ailments else 200, text="\n".join(ailments or ["ok"]) + "\n")

    async def livez(_: web.Request) -> web.Response:
        return verdict(health.ailments())

    async def readyz(_: web.Request) -> web.Response:
        return verdict(health.unready())

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    return app
