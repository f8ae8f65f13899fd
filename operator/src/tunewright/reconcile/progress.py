"""The endpoint for progress reports of pods: the server side of Kubeflow Trainer's protocol (its proposal 2779).

`POST /apis/tunewright.io/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status`, `Authorization: Bearer <token of the pod>`:
200 accepted · 403 not a pod of this job · 404 no such job · 413 more than 64 KiB · 422 not a progress report ·
429 too often, with Retry-After · 503 not ready.
A refused report never changes an accepted one. Nothing is stored on disk, because pods report again within seconds after a restart.
"""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

from aiohttp import web
from pydantic import ValidationError

from tunewright_contract.progress import ProgressReport
from tunewright_runtime.errors import Conflict, Gone, Transient
from tunewright_runtime.listening import RateLimit
from tunewright_runtime.objects import Key

PATH = "/apis/tunewright.io/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status"
LIMIT_BYTES = 64 * 1024


class Authenticator(Protocol):
    """Decides which job a token belongs to."""

    async def authenticate(self, key: Key, token: str) -> str | None:
        """Return the uid of the job if `token` belongs to one of its pods, else None. Raises Gone when there is no such job."""


class Board:
    """The latest report of each job, by uid: a new job with an old name starts without one."""

    def __init__(self) -> None:
        self._latest: dict[Key, tuple[str, ProgressReport]] = {}
        self._due: dict[Key, float] = {}  # when the latest report of a job is, or was, shown in its status

    def post(self, key: Key, uid: str, report: ProgressReport) -> None:
        """Keep a report, and drop the earlier one."""
        self._latest[key] = (uid, report)

    def latest(self, key: Key, uid: str) -> ProgressReport | None:
        """Return the last accepted report of the job with this uid, if any."""
        owner, report = self._latest.get(key, ("", None))
        return report if owner == uid else None

    def pause(self, key: Key, *, now: float, every: float) -> float:
        """Return the seconds until status shows a report that arrives `now`: none for the first, then one report in `every` seconds."""
        if (due := self._due.get(key, -every)) <= now:
            self._due[key] = due = max(now, due + every)
        return due - now

    def forget(self, key: Key) -> None:
        """Drop a job's report."""
        self._latest.pop(key, None)
        self._due.pop(key, None)


class Limits:
    """The rates at which one address may post, and at which one job may be reported: a gang sends one report every few seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._of_address = RateLimit(per_second=5, burst=50, clock=clock)
        self._of_job = RateLimit(per_second=2, burst=20, clock=clock)

    def wait(self, request: web.Request) -> float:
        """Return 0.0, or the number of seconds until a request is allowed."""
        job = request.match_info["namespace"], request.match_info["name"]
        # By address and job, so that a client without the right to report a job cannot use up the rate of its pods.
        return self._of_address.wait(request.remote) or self._of_job.wait((request.remote, *job))


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
