"""Sends progress reports from a separate thread, so that training never waits for the receiver.

Only the newest waiting report is sent. An answer of 503 comes from a standby operator behind the same address: the report is sent again at
once, on a new connection, which may reach the active one. Any other failure loses this report alone; the next one is more recent.

Without a new report, the last one is sent again every HEARTBEAT_SECONDS: so the operator can distinguish a gang that makes no step from
reports that do not arrive. Proxies in the environment are not used: the operator is inside the cluster.
"""

import http.client
import logging
import queue
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

TRIES = 6  # with two operators of which one is a standby, one report in 64 is delayed to the next
HEARTBEAT_SECONDS = 20.0
_SECONDS = 5.0  # for one answer, and for the last report

log = logging.getLogger(__name__)


class Poster:
    """Posts to `url` with the token in a file. It reads the file each time, because the kubelet renews the token."""

    def __init__(self, url: str, token_file: Path, ca_file: Path | None = None, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._url = url
        self._token_file = token_file
        self._ca_file = ca_file
        self._reports: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)

    def post(self, report: bytes) -> None:
        """Send a report (JSON) soon, unless a newer one replaces it. Returns at once."""
        if not self._thread.ident:
            self._thread.start()
        self._reports.put(report)

    def close(self) -> None:
        """Wait a few seconds at most for the last report to be sent."""
        self._reports.put(None)
        if self._thread.ident:
            self._thread.join(_SECONDS)

    def _work(self) -> None:
        closed, last = False, b""
        while not closed:
            waiting: list[bytes | None] = []
            with suppress(queue.Empty):
                waiting.append(self._reports.get(timeout=self._heartbeat_seconds))
                while True:
                    waiting.append(self._reports.get_nowait())
            closed = None in waiting
            reports = [report for report in waiting if report is not None]
            last = reports[-1] if reports else last
            if last and (reports or not closed):
                self._deliver(last)

    def _deliver(self, report: bytes) -> None:
        try:
            for _ in range(TRIES):
                if self._send(report) != http.HTTPStatus.SERVICE_UNAVAILABLE:
                    break
        except (OSError, ValueError, http.client.HTTPException) as error:
            log.debug("this progress report is lost: %s", error)

    def _send(self, report: bytes) -> int:
        """Return the status of the answer. Raises OSError, ValueError (of the address) or HTTPException if there is none."""
        headers = {"Authorization": f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url, data=report, headers=headers, method="POST")  # noqa: S310 - the operator's own address
        context = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                log.debug("this progress report was refused: %s", refusal)
                return refusal.code
