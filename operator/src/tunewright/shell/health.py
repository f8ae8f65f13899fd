"""/livez, /readyz and /metrics.

A process can answer probes without working (K5). Live: the queue moves, no worker holds a job for long, and the watches have shown what the
lists show (K2: a watch can die silently). Ready: live, and every kind was read once.
"""

from collections.abc import Callable, Sequence

from aiohttp import web

from tunewright.shell.metrics import CONTENT_TYPE, Metrics

QUEUE_SECONDS = 300.0  # for how long keys may wait while no worker takes one; a long line that gets on is no illness
WORK_SECONDS = 600.0  # and keep it: every request has its time limit, so that a reconcile which takes longer hangs
BLIND_SECONDS = 120.0  # for how long the watch may fail to show a job that is there


class Sight:
    """Whether the watches show what lists show. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._blind_since: dict[str, float] = {}

    def compared(self, kind: str, missed: int, *, now: float) -> None:
        """Take the result of one comparison: how many objects of a kind the watch had not shown."""
        if missed:
            self._blind_since.setdefault(kind, now)
        else:
            self._blind_since.pop(kind, None)

    def blind(self, *, now: float) -> tuple[str, float]:
        """Return the kind whose watch has failed for longest, and for how many seconds; ("", 0) when all is well."""
        since, kind = min(((since, kind) for kind, since in self._blind_since.items()), default=(now, ""))
        return kind, now - since


class Health:
    """Judges the process."""

    def __init__(
        self,
        sight: Sight,
        *,
        unready: Callable[[], str],
        stalled_seconds: Callable[[], float],
        busiest_seconds: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._sight = sight
        self._unready = unready
        self._stalled_seconds = stalled_seconds
        self._busiest_seconds = busiest_seconds
        self._clock = clock

    def ailments(self) -> list[str]:
        """Return what is wrong; nothing when all is well."""
        found = []
        if (waited := self._stalled_seconds()) > QUEUE_SECONDS:
            found.append(f"a FineTuneJob has waited {waited:.0f} s for a worker")
        if (worked := self._busiest_seconds()) > WORK_SECONDS:
            found.append(f"a FineTuneJob has been worked on for {worked:.0f} s")
        kind, seconds = self._sight.blind(now=self._clock())
        if seconds > BLIND_SECONDS:
            found.append(f"the watch of {kind} has not shown all there is for {seconds:.0f} s")
        return found

    def unready(self) -> list[str]:
        """Return why work has not begun, or is not going on."""
        return self.ailments() or ([reason] if (reason := self._unready()) else [])


def application(health: Health, metrics: Metrics, *, standing_by: Callable[[], Sequence[str]] = list) -> web.Application:
    """Build the endpoints. `standing_by` says why this operator does not work yet: it is ready all the same, to take over."""

    def verdict(ailments: Sequence[str]) -> web.Response:
        return web.Response(status=503 if ailments else 200, text="\n".join(ailments or standing_by() or ["ok"]) + "\n")

    async def livez(_: web.Request) -> web.Response:
        return verdict(health.ailments())

    async def readyz(_: web.Request) -> web.Response:
        return verdict([] if standing_by() else health.unready())

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    return app
