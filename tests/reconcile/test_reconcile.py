"""The reconciler with a dictionary as its world: applied objects, status, and the next run."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from child_builders import COMPLETE, a_pod, ended, running
from status_builders import CHECKED, EXPORTED, TRAINED, posted

from tunewright.observe.reasons import FailureReason
from tunewright.plan.inputs import Defaults, Missing, References
from tunewright.plan.label_names import COMPLETION_INDEX
from tunewright.reconcile.pace import Pace
from tunewright.reconcile.ports import Ports
from tunewright.reconcile.progress import Board
from tunewright.reconcile.reconcile import (
    BEGUN_SECONDS,
    FOLLOWING_SECONDS,
    REFUSED_SECONDS,
    RESTING_SECONDS,
    RUNNING_SECONDS,
    WAITING_SECONDS,
    reconcile,
)
from tunewright.reconcile.steps import StepsOfJobs
from tunewright.status.failures import REFUSALS
from tunewright_contract.reports import EvaluationReport, Score, dump
from tunewright_runtime import errors
from tunewright_runtime.driver import ReconcileResult
from tunewright_runtime.errors import Conflict, Forbidden, Gone, Invalid, NotWritten, Rejected, Transient
from tunewright_runtime.objects import Key

KEY = Key("default", "demo")
FOLDERS = {"model": "/data/model", "chat.jsonl": "/data/chat.jsonl"}


def make_raw(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "tunewright.io/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "demo", "namespace": "default", "uid": "uid-1", "generation": 1},
        "spec": {
            "task": "ChatCompletion",
            "model": {"source": {"path": "model"}},
            "data": {"train": [{"source": {"path": "chat.jsonl"}}]},
            **spec,
        },
    }


class World:
    """Holds one job; counts what is written."""

    tries_pods = True

    def __init__(self, raw: dict[str, Any] | None, refs: References | None = None, *, refuse: Exception | None = None) -> None:
        self.raw = raw
        self.refs = refs or References(folders=FOLDERS, host_paths=True)
        self.refuse = refuse
        self.applied: list[Sequence[Mapping[str, Any]]] = []
        self.refused: Mapping[str, str] = {}  # a stage's component -> why its pods are refused
        self.patches: list[Mapping[str, Any]] = []

    async def get(self, key: Key) -> Mapping[str, Any] | None:
        return self.raw

    async def dereference(self, job: Any) -> References:
        return self.refs

    async def children(self, key: Key, uid: str) -> Sequence[Mapping[str, Any]]:
        return self.applied[-1] if self.applied else []

    async def apply(self, key: Key, uid: str, manifests: Sequence[Mapping[str, Any]]) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.applied.append(manifests)

    def altered(self, manifests: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        return ()

    async def refusals(self, pods: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        return [self.refused.get(pod["metadata"]["labels"]["app.kubernetes.io/component"], "") for pod in pods]

    async def patch_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> None:
        assert self.raw is not None
        self.patches.append(status)
        self.raw["status"] = status


def ports(world: World, pace: Pace | None = None) -> Ports:
    clock = lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)  # noqa: E731
    return Ports(world=world, progress=Board(), clock=clock, defaults=Defaults(), steps=StepsOfJobs(), pace=pace or Pace())


def conditions(world: World) -> dict[str, tuple[str, str]]:
    assert world.raw is not None
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in world.raw["status"]["conditions"]}


async def test_a_new_job_gets_its_first_children_and_a_status():
    world = World(make_raw())
    assert await reconcile(KEY, ports(world)) == ReconcileResult(requeue_after=BEGUN_SECONDS)
    kinds = [(child["kind"], child["metadata"]["name"]) for child in world.applied[0]]
    assert ("Job", "demo-check") in kinds
    assert not [name for kind, name in kinds if kind == "Job" and name != "demo-check"]
    assert conditions(world)["Reconciling"][0] == "True"
    assert world.raw["status"]["observedGeneration"] == 1


async def test_a_new_stage_is_reconciled_again_sooner():
    world, now = World(make_raw()), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    looks = []
    for _ in range(4):
        looks.append((await reconcile(KEY, ports(world)._replace(clock=lambda at=now: at))).requeue_after)
        now += timedelta(seconds=looks[-1])
    assert looks == [BEGUN_SECONDS, BEGUN_SECONDS, RUNNING_SECONDS, RUNNING_SECONDS]


async def test_a_routine_change_is_written_together_with_the_next():
    now, world = [0.0], World(make_raw())
    slow = ports(world, Pace(within_a_stage=3.0, clock=lambda: now[0]))
    await reconcile(KEY, slow)  # the first status is written at once
    job = next(child for child in world.applied[0] if child["kind"] == "Job")
    state = {"running": {"startedAt": "2026-01-01T10:00:00Z"}}
    pod = a_pod("checker", phase="Running", containerStatuses=[{"name": "checker", "state": state}])
    running = {**pod, "metadata": {**pod["metadata"], "labels": job["metadata"]["labels"]}}
    world.applied.append([*world.applied[-1], running])
    looks = []
    for now[0] in (1.0, 2.0, 4.0):
        looks.append(((await reconcile(KEY, slow)).requeue_after, len(world.patches)))
        world.applied.append([*world.applied[-1], running])
    assert looks == [(3.0, 1), (2.0, 1), (BEGUN_SECONDS, 2)]
    assert world.raw["status"]["reason"] == "Running"


async def test_a_reconcile_without_a_change_writes_nothing():
    world = World(make_raw())
    for _ in range(4):
        await reconcile(KEY, ports(world))
    assert len(world.patches) <= 2  # the first, and the one that saw the children
    written = len(world.patches)
    await reconcile(KEY, ports(world))
    assert len(world.patches) == written


@pytest.mark.parametrize(
    ("want", "phase", "next_look", "world"),
    [
        ("InvalidSpec", "Failed", RESTING_SECONDS, World(make_raw(task="Poetry"))),
        (
            "ReferenceMissing",
            "Failed",
            RESTING_SECONDS,
            World(
                make_raw(),
                References(
                    missing=(Missing(field="spec.model.source.path", kind="Path", name="model", message="/x does not exist"),),
                    host_paths=True,
                ),
            ),
        ),
        ("PathNeedsOneMachine", "Failed", RESTING_SECONDS, World(make_raw(), References())),
        (
            "ReferenceMissing",
            "Waiting",
            WAITING_SECONDS,
            World(make_raw(), References(missing=(Missing(field="f", kind="Secret", name="hub", message="no token"),))),
        ),
        ("InvalidSpec", "Failed", RESTING_SECONDS, World(make_raw(), refuse=Invalid("two containers"))),
        ("OrphanRuns", "Waiting", WAITING_SECONDS, World(make_raw(), refuse=Rejected("bot-train-0 runs", reason="OrphanRuns"))),
        ("NameTaken", "Failed", REFUSED_SECONDS, World(make_raw(), refuse=Rejected("taken", reason="NameTaken"))),
    ],
    ids=[
        "its words are wrong",
        "a path that is not there",
        "it cannot be planned",
        "something is not there yet",
        "the world cannot run it",
        "an earlier gang runs",
        "the world refuses",
    ],
)
async def test_the_reason_for_a_blocked_job_is_in_its_status(want, phase, next_look, world):
    looks = [await reconcile(KEY, ports(world)) for _ in range(2)]  # the second reads the status that the first has stored
    assert looks == [ReconcileResult(requeue_after=next_look)] * 2
    assert conditions(world)["Ready"] == ("False", want)
    assert ("Stalled" in conditions(world)) == (phase == "Failed")
    assert world.raw["status"]["phase"] == phase
    assert world.applied == []


@pytest.mark.parametrize(
    "raw", [None, make_raw() | {"metadata": make_raw()["metadata"] | {"deletionTimestamp": "2026-01-02T03:04:05Z"}}], ids=["gone", "going"]
)
async def test_a_deleted_job_is_not_changed(raw):
    world = World(raw)
    with pytest.raises(Gone):
        await reconcile(KEY, ports(world))
    assert (world.applied, world.patches) == ([], [])


async def test_new_children_are_in_the_first_status():
    """One status where there would be two: what apply has made counts at once."""

    class Telling(World):
        async def apply(self, key: Key, uid: str, manifests: Sequence[Mapping[str, Any]]) -> bool:
            wrote = not self.applied
            await super().apply(key, uid, manifests)
            return wrote

    world = Telling(make_raw())
    await reconcile(KEY, ports(world))
    await reconcile(KEY, ports(world))
    assert [patch["phase"] for patch in world.patches] == ["Checking"]


async def test_a_missing_right_is_in_status_until_it_is_granted():
    world = World(make_raw())
    await reconcile(KEY, ports(world))
    await reconcile(KEY, ports(world))
    before = world.raw["status"]["phase"]
    world.refuse = Forbidden('cannot patch resource "jobs"', verb="patch", resource="jobs")
    for _ in range(2):
        with pytest.raises(Transient):
            await reconcile(KEY, ports(world))
    assert conditions(world)["Ready"] == ("False", "OperatorForbidden")
    assert conditions(world)["Reconciling"] == ("True", "OperatorForbidden")
    assert (world.raw["status"]["phase"], world.raw["status"]["message"]) == (before, 'cannot patch resource "jobs"')
    world.refuse = None
    await reconcile(KEY, ports(world))
    assert conditions(world)["Ready"][1] != "OperatorForbidden"


async def test_the_third_failed_write_in_a_row_is_in_status_until_one_succeeds():
    world, failures = World(make_raw(), refuse=NotWritten("apply Job default/demo-check: 500 no", kind="Job", reason="WebhookFailed")), 0
    told = []
    for failures in range(4):
        with pytest.raises(NotWritten):
            await reconcile(KEY, ports(world)._replace(failures=lambda _, so_far=failures: so_far))
        told.append((world.raw.get("status") or {}).get("reason"))
    assert told == [None, None, "WebhookFailed", "WebhookFailed"]
    assert len(world.patches) == 1
    status = world.raw["status"]
    assert (status["phase"], conditions(world)["Reconciling"]) == ("Waiting", ("True", "WebhookFailed"))
    assert status["message"] == f"apply Job default/demo-check: 500 no. {status['failure']['suggestion']}"
    world.refuse = None
    await reconcile(KEY, ports(world))
    assert conditions(world)["Ready"][1] == "Pending"
    assert "failure" not in world.raw["status"]


async def test_a_status_that_is_not_written_is_an_error_of_its_own(monkeypatch):
    world = World(make_raw(), refuse=NotWritten("apply Job", kind="Job", reason="NoAnswer"))

    async def refuse(*_):
        raise NotWritten("patch FineTuneJob", kind="FineTuneJob", reason="ServerBusy")

    monkeypatch.setattr(world, "patch_status", refuse)
    with pytest.raises(NotWritten, match="patch FineTuneJob"):
        await reconcile(KEY, ports(world)._replace(failures=lambda _: 2))


def test_each_reason_of_a_refused_write_has_a_way_out():
    reasons = {
        errors.WEBHOOK_FAILED,
        errors.SERVER_BUSY,
        errors.NO_ANSWER,
        errors.SERVER_FAILED,
        errors.QUOTA_EXCEEDED,
        errors.REFUSED_BY_POLICY,
        errors.REFUSED_BY_CLUSTER,
        errors.FIELD_INVALID,
        errors.TOO_LARGE,
        FailureReason.OUTSIDE_LIMITS,
    }
    assert reasons == set(REFUSALS)


class Training(World):
    """Check has succeeded, so that there is a gang from the second reconcile on."""

    async def children(self, key: Key, uid: str) -> Sequence[Mapping[str, Any]]:
        done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
        pod = a_pod("checker", **ended(0, dump(CHECKED), component="checker"))
        found: list[Mapping[str, Any]] = []
        for child in await super().children(key, uid):
            checks = child["metadata"]["name"] == "demo-check"
            labels = {"metadata": {**pod["metadata"], "labels": child["metadata"]["labels"]}}
            found += [child | done, pod | labels] if checks else [child]
        return found


LIMIT_RANGE = 'pods "x" is forbidden: maximum memory usage per Container is 1536Mi, but limit is 43Gi'
FULL = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4'


async def test_a_later_stage_that_can_never_start_stops_the_job_before_training():
    world = Training(make_raw())
    world.refused = {"exporter": LIMIT_RANGE}
    await reconcile(KEY, ports(world))
    assert world.raw["status"]["warnings"] == [
        f"export cannot start: {LIMIT_RANGE}. Change spec.export.resources, or have the limit raised."
    ], "Check runs meanwhile"
    assert await reconcile(KEY, ports(world)) == ReconcileResult(requeue_after=REFUSED_SECONDS)
    status = world.raw["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "PodOutsideLimits")
    assert "spec.export.resources" in status["message"]
    assert "demo-train-0" not in [child["metadata"]["name"] for child in world.applied[-1]]
    world.refused = {}
    await reconcile(KEY, ports(world))
    assert "demo-train-0" in [child["metadata"]["name"] for child in world.applied[-1]], "it continues when the limit is raised"


class RunningGang(Training):
    """The gang's pods run."""

    async def children(self, key: Key, uid: str) -> Sequence[Mapping[str, Any]]:
        found = list(await super().children(key, uid))
        pod = a_pod("trainer", index=0, **running())
        gangs = [child["metadata"]["labels"] for child in found if child["metadata"]["name"] == "demo-train-0"]
        return [*found, *(pod | {"metadata": {**pod["metadata"], "labels": labels}} for labels in gangs)]


@pytest.mark.parametrize("reason", ["RefusedByPolicy", "FieldInvalid", "TooLarge", "NameTaken", "QuotaExceeded"])
async def test_a_refused_write_while_a_gang_runs_is_reported_beside_its_progress(reason):
    world = RunningGang(make_raw())
    for _ in range(3):
        await reconcile(KEY, ports(world))
    assert (world.raw["status"]["phase"], world.raw["status"]["reason"]) == ("Training", "Running")
    world.refuse = Rejected("apply Service default/demo-train: no", reason=reason)
    board = Board()
    told = [await reconcile(KEY, ports(world)._replace(progress=board))]
    board.post(KEY, "uid-1", posted(percentage=30))
    told.append(await reconcile(KEY, ports(world)._replace(progress=board)))
    assert told == [ReconcileResult(requeue_after=BEGUN_SECONDS)] * 2
    status = world.raw["status"]
    assert (status["phase"], status["reason"], status["progress"]["progressPercentage"]) == ("Training", reason, 30)
    assert conditions(world)["Stalled" if reason != "QuotaExceeded" else "Reconciling"] == ("True", reason)
    world.refuse = None
    await reconcile(KEY, ports(world))
    assert (world.raw["status"]["phase"], world.raw["status"]["reason"]) == ("Training", "Running")


async def test_a_refused_update_of_a_server_that_answers_is_tried_again_sooner():
    world = Exported(make_raw(serving={}), base=2.99, tuned=1.31)
    for _ in range(6):
        await reconcile(KEY, ports(world))
    world.refuse = Rejected("apply Deployment default/demo-serve: no", reason="RefusedByPolicy")
    assert await reconcile(KEY, ports(world)) == ReconcileResult(requeue_after=REFUSED_SECONDS)
    assert (world.raw["status"]["phase"], world.raw["status"]["reason"]) == ("Serving", "RefusedByPolicy")


async def test_a_warning_about_a_later_stage_ends_with_its_cause_while_check_runs():
    world = World(make_raw())
    world.refused = {"exporter": LIMIT_RANGE}
    await reconcile(KEY, ports(world))
    world.refused = {"exporter": ""}
    assert world.raw["status"]["warnings"]
    await reconcile(KEY, ports(world))
    assert not world.raw["status"]["warnings"]


async def test_a_quota_that_is_used_up_now_is_a_warning_and_training_begins():
    world = Training(make_raw())
    world.refused = {"exporter": FULL}
    for _ in range(2):
        await reconcile(KEY, ports(world))
    assert "export cannot start" in world.raw["status"]["warnings"][0]
    assert "demo-train-0" in [child["metadata"]["name"] for child in world.applied[-1]]


@pytest.mark.parametrize(
    ("told", "refused", "training", "deepspeed", "replicas"),
    [
        pytest.param("Training: BatchNotDivisible", True, {"globalBatchSize": 8}, None, 3, id="it does not divide the batch (E209)"),
        pytest.param("Training: Resizing", False, {"globalBatchSize": 8}, None, 4, id="it divides the batch"),
        pytest.param(
            "Training: Resizing", False, {"globalBatchSize": 8, "perDeviceTrainBatchSize": 4}, None, 4, id="with fewer examples each (E209)"
        ),
        pytest.param(
            "Training: BatchFixed", True, {"globalBatchSize": 8}, {"gradient_accumulation_steps": 4}, 4, id="against a raw number (E202)"
        ),
    ],
)
async def test_rules_about_the_first_gang_do_not_refuse_a_resize(told, refused, training, deepspeed, replicas):
    raw = {"deepspeed": {"config": deepspeed}} if deepspeed else {}
    world = Training(make_raw(training=training, workers={"replicas": 2}, **raw))
    for _ in range(3):
        await reconcile(KEY, ports(world))
    assert (world.raw["status"]["phase"], world.raw["status"]["reason"]) == ("Training", "Pending")

    world.raw["spec"]["workers"] = {"replicas": replicas}
    await reconcile(KEY, ports(world))
    assert f"{world.raw['status']['phase']}: {world.raw['status']['reason']}" == told
    assert ("ChangeRefused" in conditions(world), "Stalled" in conditions(world)) == (refused, False)


@pytest.mark.parametrize(
    ("expected", "serving"),
    [
        (RESTING_SECONDS, {}),
        (FOLLOWING_SECONDS, {"modelRef": {"name": "next"}}),
        (RESTING_SECONDS, {"modelRef": {"name": "demo"}}),
    ],
    ids=["its own model", "another job's, which may be made again", "its own by name"],
)
async def test_a_job_that_serves_another_jobs_model_is_reconciled_more_often(expected, serving):
    world = Training(make_raw(suspend=True, serving=serving))
    await reconcile(KEY, ports(world))
    assert await reconcile(KEY, ports(world)) == ReconcileResult(requeue_after=expected)
    assert world.raw["status"]["phase"] == "Suspended"


class Exported(World):
    """All Jobs have succeeded, and each left its report; the servers are ready."""

    def __init__(self, raw: dict[str, Any], *, base: float, tuned: float) -> None:
        super().__init__(raw)
        scores = {which: Score(loss=loss, token_accuracy=0.5, samples=30) for which, loss in (("base", base), ("tuned", tuned))}
        report = EXPORTED.model_copy(update={"evaluation": EvaluationReport(**scores)})
        self.reports = {"checker": CHECKED, "trainer": TRAINED, "exporter": report}

    async def children(self, key: Key, uid: str) -> Sequence[Mapping[str, Any]]:
        return [child for made in await super().children(key, uid) for child in self._with_pods(made)]

    def _with_pods(self, made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        labels = made["metadata"]["labels"]
        component = labels.get("tunewright.io/component")
        if made["kind"] == "Deployment":
            ready = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), made["spec"]["replicas"])
            return [{**made, "status": {"conditions": [COMPLETE], **ready}}]
        if made["kind"] != "Job":
            return [made]
        pod = {"kind": "Pod", "metadata": {"name": component, "labels": labels, "annotations": {COMPLETION_INDEX: "0"}}}
        done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
        if component not in self.reports:  # its pod is gone
            return [made | done]
        return [made | done, pod | {"status": ended(0, dump(self.reports[component]), component=component)}]

    def serves(self) -> bool:
        return any(child["kind"] == "Deployment" for child in self.applied[-1])


@pytest.mark.parametrize(
    ("expected", "tuned", "changes"),
    [
        pytest.param([("Serving", "Serving", True)], 1.31, [False], id="better"),
        pytest.param([("Failed", "ModelRegressed", False)], 19_820.0, [False], id="worse"),
        pytest.param([("Failed", "ModelRegressed", False)], float("nan"), [False], id="not finite"),
        pytest.param([("Serving", "Serving", True)], 19_820.0, [True], id="worse and allowed"),
        pytest.param([("Failed", "ModelRegressed", False), ("Serving", "Serving", True)], 19_820.0, [False, True], id="allowed later"),
        pytest.param(
            [("Serving", "Serving", True), ("Serving", "ModelRegressed", True)], 19_820.0, [True, False], id="not allowed any more"
        ),
    ],
)
async def test_a_regressed_model_is_served_only_if_allowed_and_stops_no_server(expected, tuned, changes):
    world = Exported(make_raw(serving={}), base=2.99, tuned=tuned)
    found = []
    for allowed in changes:
        world.raw["spec"]["evaluation"] = {"allowRegression": allowed}
        for _ in range(6):
            await reconcile(KEY, ports(world))
        found.append((world.raw["status"]["phase"], world.raw["status"]["reason"], world.serves()))
    assert found == expected
    assert world.raw["status"]["artifacts"], "the model is kept and listed"
    assert conditions(world).get("ModelRegressed", ("False",))[0] == ("False" if tuned == 1.31 else "True")


async def test_an_upgrade_keeps_the_server_of_a_regressed_model():
    world = Exported(make_raw(serving={}), base=2.99, tuned=1.31)
    for _ in range(6):
        await reconcile(KEY, ports(world))
    del world.reports["exporter"]
    world.raw["status"]["evaluation"]["tuned"]["loss"] = "19820"  # as an operator without the rule has recorded it
    for _ in range(2):
        await reconcile(KEY, ports(world))
        assert (world.raw["status"]["phase"], world.raw["status"]["reason"], world.serves()) == ("Serving", "ModelRegressed", True)


async def test_no_gang_begins_with_a_number_of_workers_that_cannot_share_the_batch():
    world = World(make_raw(training={"globalBatchSize": 8}, workers={"replicas": 3}))
    await reconcile(KEY, ports(world))
    assert (world.applied, conditions(world)["Stalled"]) == ([], ("True", "InvalidSpec"))


async def test_a_conflict_is_raised_to_the_driver():
    world = World(make_raw(), refuse=Conflict("409"))
    with pytest.raises(Conflict):
        await reconcile(KEY, ports(world))
    assert world.patches == []


@pytest.mark.parametrize("error", [RecursionError("maximum recursion depth exceeded"), ValueError("a\x1b[2Jb"), MemoryError()])
async def test_an_unexpected_error_is_in_status_and_raised(error):
    world = World(make_raw(), refuse=error)
    with pytest.raises(type(error)):
        await reconcile(KEY, ports(world))
    assert conditions(world)["Ready"] == ("False", "OperatorFailed")
    assert type(error).__name__ in world.raw["status"]["message"]
    assert "\x1b" not in world.raw["status"]["message"]


async def test_an_unreadable_job_is_reported_and_has_no_children():
    world = World({**make_raw(), "spec": None, "tunewright.io/unreadable": "it nests too deeply"})
    await reconcile(KEY, ports(world))
    assert (conditions(world)["Stalled"], world.raw["status"]["message"], world.applied) == (
        ("True", "InvalidSpec"),
        "it nests too deeply",
        [],
    )
