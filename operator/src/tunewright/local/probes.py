"""Startup, liveness and readiness probes over HTTP and TCP, with Kubernetes' defaults."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from tunewright.local.network import LOOPBACK
from tunewright_runtime.errors import Invalid


class Prober:
    """Watches one run of one container until it is cancelled. `changed` is called whenever `started`, `ready` or `failed` changes."""

    def __init__(self, container: Mapping[str, Any], ports: Mapping[int, int], *, changed: Callable[[], None]) -> None:
        self._container = container
        self._ports = ports
        self._changed = changed
        self.started = "startupProbe" not in container
        self.ready = self.started and "readinessProbe" not in container
        self.failed = ""  # why the container must be restarted

    async def run(self) -> None:
        """Probe for as long as the container runs."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as session:
            if not self.started and not await self._start(session):
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(self._readiness(session))
                group.create_task(self._liveness(session))

    async def _start(self, session: aiohttp.ClientSession) -> bool:
        """Wait for the startup probe. The other probes start after it."""
        probe = self._container["startupProbe"]
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        for _ in range(probe.get("failureThreshold", 3)):
            problem = await self._ask(session, probe)
            if not problem:
                self.started = True
                self.ready = "readinessProbe" not in self._container
                self._changed()
                return True
            await asyncio.sleep(probe.get("periodSeconds", 10))
        self._fail(f"startup probe failed: {problem}")
        return False

    async def _readiness(self, session: aiohttp.ClientSession) -> None:
        if (probe := self._container.get("readinessProbe")) is None:
            return
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        good = bad = 0
        while True:
            if await self._ask(session, probe):
                good, bad = 0, bad + 1
            else:
                good, bad = good + 1, 0
            ready = self.ready
            if good >= probe.get("successThreshold", 1):
                ready = True
            elif bad >= probe.get("failureThreshold", 3):
                ready = False
            if ready != self.ready:
                self.ready = ready
                self._changed()
            await asyncio.sleep(probe.get("periodSeconds", 10))

    async def _liveness(self, session: aiohttp.ClientSession) -> None:
        if (probe := self._container.get("livenessProbe")) is None:
            return
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        bad = 0
        while True:
            problem = await self._ask(session, probe)
            bad = bad + 1 if problem else 0
            if bad >= probe.get("failureThreshold", 3):
                self._fail(f"liveness probe failed: {problem}")
                return
            await asyncio.sleep(probe.get("periodSeconds", 10))

    def _fail(self, why: str) -> None:
        self.failed = why
        self.ready = False
        self._changed()

    async def _ask(self, session: aiohttp.ClientSession, probe: Mapping[str, Any]) -> str:
        """Return why the probe failed; empty if it succeeded."""
        try:
            async with asyncio.timeout(probe.get("timeoutSeconds", 1)):
                if "tcpSocket" in probe:
                    _, writer = await asyncio.open_connection(LOOPBACK, self._port(probe["tcpSocket"]["port"]))
                    writer.close()
                    return ""
                get = probe["httpGet"]
                url = f"{get.get('scheme', 'HTTP').lower()}://{LOOPBACK}:{self._port(get['port'])}{get.get('path', '/')}"
                async with session.get(url, allow_redirects=False) as response:
                    return "" if 200 <= response.status < 400 else f"{get.get('path', '/')} answered {response.status}"
        except TimeoutError:
            return f"no answer within {probe.get('timeoutSeconds', 1)} s"
        except (OSError, aiohttp.ClientError) as error:
            return str(error)

    def _port(self, port: str | int) -> int:
        return self._ports[_declared(self._container, port)]


def check_supported(container: Mapping[str, Any]) -> None:
    """Refuse probes of an unsupported kind, and of a port that the container does not declare. Raises Invalid."""
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(kind)
        if probe is None:
            continue
        action = probe.get("httpGet") or probe.get("tcpSocket")
        if action is None:
            raise Invalid(f"container {container['name']}: {kind} must be httpGet or tcpSocket on this machine")
        _declared(container, action["port"])


def _declared(container: Mapping[str, Any], port: str | int) -> int:
    for declared in container.get("ports", ()):
        if port in (declared["containerPort"], declared.get("name")):
            return int(declared["containerPort"])
    raise Invalid(f"container {container['name']}: a probe uses port {port!r}, which the container does not declare")
