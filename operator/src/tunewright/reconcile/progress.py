"""The endpoint for progress reports of pods: the server side of Kubeflow Trainer's protocol (its proposal 2779).

`POST /apis/tunewright.io/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status`, `Authorization: Bearer <token of the pod>`:
200 accepted · 403 not a pod of this job · 404 no such job · 413 more than 64 KiB · 422 not a progress report ·
429 too often, with Retry-After · 503 not ready.
A report's own time is replaced by that of its arrival, because the pod's clock may differ from the operator's.
A refused report never changes an accepted one. Nothing is stored on disk, because pods report again within seconds after a restart.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web
from pydantic import ValidationError

from tunewright_contract.progress import ProgressReport
from tunewright_runtime.errors import Conflict, Gone, Transient
from tunewright_runtime.listening import DEFAULT, REMEMBERED, RateLimit
from tunewright_runtime.objects import Key

PATH = "/apis/tunewright.io/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status"
LIMIT_BYTES = 64 * 1024
TRUSTED_SECONDS = 60.0  # after an accepted report, refused ones from the same address do not delay this job's
BOUNDS = DEFAULT._replace(from_one_address=192)  # many jobs can share an address


class Authenticator(Protocol):
    """Decides which job a token belongs to."""

    async def authenticate(self, key: Key, token: str) -> str | None:
        """Return the uid of the job if `token` belongs to one of its pods, else None. Raises Gone when there is no such job."""


class Board:
    """The latest report of each job, by uid: a new job with an old name starts without one."""

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._latest: dict[Key, tuple[str, ProgressReport]] = {}
        self._first: dict[Key, float] = {}  # when a job's first report arrived
        self._due: dict[Key, float] = {}  # when the latest report of a job is, or was, shown in its status

    def post(self, key: Key, uid: str, report: ProgressReport) -> None:
        """Keep a report with the time of its arrival, and drop the earlier one."""
        arrived = report.trainer_status.model_copy(update={"last_updated_time": self._clock()})
        self._latest[key] = (uid, report.model_copy(update={"trainer_status": arrived}))

    def latest(self, key: Key, uid: str) -> ProgressReport | None:
        """Return the last accepted report of the job with this uid, if any."""
        owner, report = self._latest.get(key, ("", None))
        return report if owner == uid else None

    def pause(self, key: Key, *, now: float, least: float, most: float) -> float:
        """Return the seconds until status shows a report that arrives `now`: none for the first.

        Then status shows one report in a tenth of the time since the first, but at least one in `most` seconds and at most one in `least`.
        """
        every = min(max((now - self._first.setdefault(key, now)) / 10, least), most)
        if (due := self._due.get(key, -every)) <= now:
            self._due[key] = due = max(now, due + every)
        return due - now

    def forget(self, key: Key) -> None:
        """Drop a job's report."""
        self._latest.pop(key, None)
        self._first.pop(key, None)
        self._due.pop(key, None)


class Limits:
    """The rates at which one job may be reported, and at which one address may post what is refused.

    A gang sends one report every few seconds. Many jobs can share an address (NAT, an egress gateway), so accepted reports have no limit
    by address.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refused = RateLimit(per_second=5, burst=50, clock=clock)
        self._of_job = RateLimit(per_second=2, burst=20, clock=clock)
        self._accepted: dict[tuple[str, ...], float] = {}  # address and job -> when a report was accepted, the oldest first

    def wait(self, request: web.Request) -> float:
        """Return 0.0, or the number of seconds until a request is allowed."""
        who = _sender(request)
        trusted = self._clock() - self._accepted.get(who, -math.inf) < TRUSTED_SECONDS
        # By address and job, so that a client without the right to report a job cannot use up the rate of its pods.
        return (0.0 if trusted else self._refused.peek(who[0])) or self._of_job.wait(who)

    def count(self, request: web.Request, *, accepted: bool) -> None:
        """Count the answer to a request that was allowed."""
        who = _sender(request)
        if not accepted:
            self._refused.wait(who[0])
            return
        self._accepted.pop(who, None)
        self._accepted[who] = self._clock()
        if len(self._accepted) > REMEMBERED:
            del self._accepted[next(iter(self._accepted))]


def _sender(request: web.Request) -> tuple[str, ...]:
    return request.remote or "", request.match_info["namespace"], request.match_info["name"]


def application(
    board: Board,
    authenticator: Authenticator,
    *,
    wake: Callable[[Key], None],
    ready: Callable[[], bool] = lambda: True,
    limits: Limits | None = None,
) -> web.Application:
    """Build the endpoint. `wake` is called after each accepted report; until `ready`, reports get 503."""

    async def receive(request: web.Request) -> web.Response:
        if not ready():
            return refuse(503, "this operator is not the leader")
        if limits and (seconds := limits.wait(request)):  # before the token is reviewed
            return refuse(429, f"too many reports; the next one in {seconds:.1f} s", {"Retry-After": str(math.ceil(seconds))})
        answer = await take(request)
        if limits and answer.status != 503:  # which is this operator's own fault
            limits.count(request, accepted=answer.status == 200)
        return answer

    async def take(request: web.Request) -> web.Response:
        key = Key(namespace=request.match_info["namespace"], name=request.match_info["name"])
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            uid = await authenticator.authenticate(key, token.strip()) if scheme.lower() == "bearer" and token.strip() else None
        except Gone:
            return refuse(404, f"there is no FineTuneJob {key.namespace}/{key.name}")
        except (Transient, Conflict) as error:  # the token cannot be reviewed now; the next report follows
            return refuse(503, str(error))
        if uid is None:
            return refuse(403, "this token does not belong to a pod of that job")
        try:
            report = ProgressReport.model_validate_json(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return refuse(413, f"a progress report has at most {LIMIT_BYTES} bytes")
        except ConnectionError:  # the client disconnected, or its time ran out: log no traceback
            return refuse(408, "the connection ended before the report was complete")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return refuse(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")
        board.post(key, uid, report)
        wake(key)
        return web.json_response({})

    app = web.Application(client_max_size=LIMIT_BYTES)
    app.router.add_post(PATH, receive)
    return app


def refuse(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with the reason, in the form of the API server's errors."""
    body = {"kind": "Status", "status": "Failure", "code": status, "message": message}
    return web.json_response(body, status=status, headers=headers)
