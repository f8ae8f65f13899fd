"""One row for each way in which a job goes wrong: what the cluster holds then, in its own words, and what status makes of it."""

import errno
from datetime import timedelta

import pytest
from child_builders import REVISION, a_job, a_pod, ended, running, waiting
from plan_builders import quickstart_plan
from status_builders import CHECKED, NOON, TRAINED, posted
from status_builders import a_job as a_fine_tune_job

from tunewright.observe import observe
from tunewright.observe.events import unexplained
from tunewright.reconcile.progress import Board
from tunewright.render import render
from tunewright.status import summarise
from tunewright_contract import progress as words
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import dump
from tunewright_runtime.objects import Key
from tunewright_trainer.common.exits import StageError, failure, stage_error

KEY = Key("demo", "bot")
LATER = NOON + timedelta(minutes=1)
FAILED = ("Failed", "BackoffLimitExceeded")


def library_error(module, name, text):
    """An exception as a library raises it, without the library."""
    return type(name, (RuntimeError,), {"__module__": module})(text)


def told(error, component="trainer"):
    """A pod that ended with the trainer's own words for an error."""
    known = stage_error(error)
    return ended(known.code, dump(failure(known, rank=0)), component=component)


CHECK_DONE = [a_job("checker", ("Complete", "CompletionsReached")), a_pod("checker", **ended(0, dump(CHECKED), component="checker"))]
CUDA = library_error("torch", "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB")
GATED = library_error("huggingface_hub.errors", "GatedRepoError", "403 Client Error. Access to model meta-llama/Llama-3.2-1B is restricted")
BAD_LINE = StageError(ExitCode.DATA, "DataInvalid", "train.jsonl line 3: no role", "Mend the line.")
BAD_LENGTH = StageError(ExitCode.CONFIGURATION, "MaxLengthTooLong", "maxLength 8192 is more than the model's 4096", "Lower data.maxLength.")
NAN = StageError(ExitCode.CONFIGURATION, "NaNLoss", "the loss is nan at step 12", "Lower training.learningRate.")
PARITY = StageError(ExitCode.CONFIGURATION, "ParityFailed", "top-1 agreement 0.91 is below 0.99", "Raise output.onnx.precision.")
QUOTA = 'Error creating: pods "bot-check-x7k2p" is forbidden: exceeded quota: small, requested: pods=1, used: pods=4, limited: pods=4'
NEVER = 'Error creating: pods "bot-check-x7k2p" is forbidden: exceeded quota: small, requested: limits.memory=8Gi, used: limits.memory=0, limited: limits.memory=4Gi'
WANTS_LIMITS = 'Error creating: pods "bot-check-x7k2p" is forbidden: failed quota: small: must specify limits.cpu for: checker'
RANGE = 'Error creating: pods "bot-check-x7k2p" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'
BELOW = (
    'Error creating: Pod "bot-check-x7k2p" is invalid: spec.containers[0].resources.requests: Invalid value: "500m": '
    "must be less than or equal to cpu limit of 200m"
)
ACCOUNT = 'Error creating: pods "bot-check-" is forbidden: error looking up service account a/t: serviceaccount "t" not found'
SECURITY = 'Error creating: pods "bot-check-x7k2p" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
WEBHOOK = 'Error creating: admission webhook "policy.example.com" denied the request: no images from there'
CLASS = 'Error creating: pods "bot-check-x7k2p" is forbidden: no PriorityClass with name gold was found'
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}
MULTI = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other-0'
NO_CONFIG = 'MountVolume.SetUp failed for volume "config" : configmap "bot-config-1" not found'


def a_lonely_job(**more):
    """A Job of which there is nothing but itself."""
    raw = a_job("checker", **more)
    raw["metadata"] |= {"uid": "j1", "creationTimestamp": "2026-01-01T12:00:00Z"}
    return raw


def a_bound_pod(**status):
    """A pod that was given to a node a minute ago."""
    raw = a_pod("checker", **({"phase": "Pending"} | status))
    raw["metadata"] |= {"uid": "p1", "creationTimestamp": "2026-01-01T12:00:00Z", "ownerReferences": [{"uid": "j1", "controller": True}]}
    return raw | {"spec": {"nodeName": "node-1"}}


def an_event(reason, message, *, about="j1", at="2026-01-01T12:00:30Z", **times):
    involved = {"kind": "Job" if about == "j1" else "Pod", "name": "bot-check", "uid": about}
    return {
        "kind": "Event",
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": involved,
        "lastTimestamp": at,
    } | times


def refused(message):
    return [a_lonely_job(), an_event("FailedCreate", message)]


def hanging(reason, message):
    creating = waiting("ContainerCreating", component="checker")
    return [a_lonely_job(), a_bound_pod(**creating), an_event(reason, message, about="p1")]


def pending(component, **status):
    return [a_job(component), a_pod(component, **({"phase": "Pending"} | status))]


def unscheduled(message):
    return pending("checker", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}])


def failed_training(*pods):
    return [*CHECK_DONE, a_job("trainer", FAILED, attempt=0), *pods]


def rank(index, status):
    return a_pod("trainer", index=index, attempt=0, **status)


def on_a_lost_node(*, deleted=False):
    """A gang with one rank on a node that stopped reporting, and that cannot confirm its end."""
    states = [{"type": kind, "status": status} for kind, status in (("Ready", "False"), ("ContainersReady", "True"))]
    lost = rank(1, running() | {"conditions": states}) | {"spec": {"nodeName": "gpu-7"}}
    lost["metadata"] |= {"deletionTimestamp": "2026-01-01T11:00:00Z"} if deleted else {}
    return [*CHECK_DONE, a_job("trainer", attempt=0), rank(0, running()), lost]


TABLE = [
    # expected reason, the stage, words of the message, words of the way out, children
    ("OutOfMemory", "trainer", "CUDA out of memory", "add workers", failed_training(rank(0, told(CUDA)))),
    ("OutOfMemory", "trainer", "more memory than its limit", "limits.memory", failed_training(rank(1, ended(137, reason="OOMKilled")))),
    ("DiskFull", "trainer", "No space left", "intact", failed_training(rank(0, told(OSError(errno.ENOSPC, "No space left on device"))))),
    ("NaNLoss", "trainer", "nan at step 12", "learningRate", failed_training(rank(0, told(NAN)))),
    ("DataInvalid", "checker", "line 3", "Mend", [a_job("checker", FAILED), a_pod("checker", **told(BAD_LINE, "checker"))]),
    ("MaxLengthTooLong", "checker", "8192", "maxLength", [a_job("checker", FAILED), a_pod("checker", **told(BAD_LENGTH, "checker"))]),
    ("ModelGated", "checker", "restricted", "licence", [a_job("checker", FAILED), a_pod("checker", **told(GATED, "checker"))]),
    (
        "ParityFailed", "exporter", "0.91", "precision",
        [
            *CHECK_DONE, a_job("trainer", ("Complete", ""), attempt=0), rank(0, ended(0, dump(TRAINED))),
            a_job("exporter", FAILED), a_pod("exporter", **told(PARITY, "exporter")),
        ],
    ),
    (
        "ImagePullBackOff", "checker", "manifest unknown", "imagePullSecrets",
        pending("checker", **waiting("ErrImagePull", 'failed to pull "no/such:image": manifest unknown', component="checker")),
    ),
    (
        "ImagePullBackOff", "checker", "Back-off pulling", "imagePullSecrets",
        pending("checker", **waiting("ImagePullBackOff", 'Back-off pulling image "no/such:image"', component="checker")),
    ),
    (
        "InvalidImageName", "checker", "couldn't parse", "Correct",
        pending("checker", **waiting("InvalidImageName", 'couldn\'t parse image name "A b": invalid reference', component="checker")),
    ),
    (
        "CreateContainerConfigError", "checker", 'secret "hub" not found', "Create the Secret",
        pending("checker", **waiting("CreateContainerConfigError", 'secret "hub" not found', component="checker")),
    ),
    (
        "CreateContainerConfigError", "checker", "couldn't find key token", "key",
        pending("checker", **waiting("CreateContainerConfigError", "couldn't find key token in Secret a/hub", component="checker")),
    ),
    (
        "CreateContainerError", "checker", "not found in $PATH", "runtime",
        pending("checker", **waiting("RunContainerError", 'exec: "python": executable file not found in $PATH', component="checker")),
    ),
    (
        "Unschedulable", "checker", "Insufficient nvidia.com/gpu", "request less",
        unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."),
    ),
    (
        "VolumeNotBound", "checker", "unbound immediate", "StorageClass",
        unscheduled("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
    ),
    ("QuotaExceeded", "checker", "exceeded quota: small", "quota", refused(QUOTA)),
    ("PodOutsideLimits", "checker", "requested: limits.memory=8Gi", "ResourceQuota changed", refused(NEVER)),
    ("PodOutsideLimits", "checker", "must specify limits.cpu", "`resources` of this stage (spec.check", refused(WANTS_LIMITS)),
    ("PodOutsideLimits", "checker", "per Container is 1Gi", "LimitRange", refused(RANGE)),
    ("PodOutsideLimits", "checker", "less than or equal to cpu limit", "`resources` of this stage", refused(BELOW)),
    ("ServiceAccountMissing", "checker", 'serviceaccount "t" not found', "serviceAccountName", refused(ACCOUNT)),
    ("RefusedByPolicy", "checker", "violates PodSecurity", "admit", refused(SECURITY)),
    ("RefusedByPolicy", "checker", "denied the request", "admit", refused(WEBHOOK)),
    ("PodsRefused", "checker", "no PriorityClass", "Correct", refused(CLASS)),
    ("VolumeNotMounted", "checker", 'configmap "bot-config-1" not found', "Create the object", hanging("FailedMount", NO_CONFIG)),
    ("VolumeNotMounted", "checker", "timed out", "repair the volume", hanging("FailedAttachVolume", "timed out waiting for the condition")),
    ("VolumeInUse", "checker", "already used by pod(s) other-0", "ReadWriteMany", hanging("FailedAttachVolume", MULTI)),
    ("SandboxNotCreated", "checker", "cni", "network plugin", hanging("FailedCreatePodSandBox", "failed to set up sandbox: cni error")),
    ("DeadlineExceeded", "checker", "activeDeadlineSeconds", "Raise", [a_job("checker", ("Failed", "DeadlineExceeded"))]),
    ("Evicted", "trainer", "ephemeral-storage", "node", failed_training(rank(0, EVICTED))),
    ("NodeNotReady", "trainer", "node gpu-7 of pod trainer-1 is not ready", "do not force-delete", on_a_lost_node()),
    ("NodeLost", "trainer", "by 2026-01-01T11:00:00Z, and node gpu-7 does not", "powered off or gone", on_a_lost_node(deleted=True)),
]  # fmt: skip


def status_of(children, *, plan=None, progress=None, previous=None, now=LATER):
    plan = plan or quickstart_plan()
    return summarise(
        a_fine_tune_job(),
        plan,
        observe(children, revision=REVISION, now=now),
        serving=render(plan).serving,
        progress=progress,
        now=now,
        previous=previous,
    )


@pytest.mark.parametrize(("reason", "stage", "words", "way_out", "children"), TABLE, ids=[f"{row[0]}: {row[2]}" for row in TABLE])
def test_status_has_reason_place_and_way_out(reason, stage, words, way_out, children):
    status = status_of(children)
    assert status.failure is not None
    assert (status.failure.reason, status.failure.stage) == (reason, stage)
    assert words in status.failure.message
    assert way_out in status.failure.suggestion
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    assert ready.status == "False"
    assert words in ready.message
    assert ready.reason == reason or status.phase == "Training"  # another attempt follows: Retrying


@pytest.mark.parametrize(
    "children", [refused(QUOTA)[:1], hanging("FailedMount", NO_CONFIG)[:2]], ids=["a Job without pods", "a pod that hangs"]
)
def test_events_are_needed_for_blocked_children_after_a_grace_period(children):
    (asked,) = unexplained(children, LATER)
    assert asked == children[-1]["metadata"]["uid"]
    assert unexplained(children, NOON + timedelta(seconds=5)) == []


def a_gang(there, **more):
    owned = [a_bound_pod(phase="Running", containerStatuses=[{"name": "checker", "state": {"running": {}}}]) for _ in range(there)]
    raw = a_lonely_job(**more)
    raw["spec"] |= {"parallelism": 2, "completions": 2}
    return [raw, *owned]


@pytest.mark.parametrize(
    ("asked", "children"),
    [
        pytest.param(["j1"], a_gang(1), id="a quota for half of a gang"),
        pytest.param([], a_gang(2), id="a whole gang"),
        pytest.param([], a_gang(1, status={"succeeded": 1}), id="the rest of a gang that ends"),
        pytest.param([], a_gang(0, suspend=True), id="a Job that a queue holds"),
        pytest.param([], a_gang(0, status={"terminating": 1}), id="one whose pods have yet to go"),
        pytest.param([], [a_lonely_job() | {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}], id="one that has ended"),
        pytest.param([], [a_pod("checker", phase="Pending")], id="a pod without a node, which its scheduler explains"),
        pytest.param(["p1"], [a_bound_pod()], id="a pod of which its node has not spoken"),
        pytest.param([], [a_bound_pod(**waiting("ErrImagePull", component="checker"))], id="a pod that says what it waits for"),
        pytest.param([], [a_bound_pod(phase="Running")], id="a pod that runs"),
    ],
)
def test_events_are_needed_only_without_another_reason(asked, children):
    assert unexplained(children, LATER) == asked


def test_events_are_listed_for_few_children_the_oldest_first():
    pods = [a_bound_pod() for _ in range(5)]
    for number, pod in enumerate(pods):
        pod["metadata"] |= {"uid": f"p{number}", "creationTimestamp": f"2026-01-01T11:0{5 - number}:00Z"}
    assert unexplained(pods, LATER) == ["p4", "p3", "p2"]


def test_the_newest_event_counts_and_none_from_before_the_pods():
    earlier, later = an_event("FailedCreate", CLASS), an_event("FailedCreate", QUOTA, at="", eventTime="2026-01-01T12:00:40.000000Z")
    for events in ([earlier, later], [later, earlier]):
        assert status_of([a_lonely_job(), *events]).failure.reason == "QuotaExceeded"
    old = an_event("FailedCreate", QUOTA, at="2026-01-01T11:00:00Z")
    gang = a_gang(1)
    assert status_of([*gang, old]).failure is None
    assert status_of([*gang, earlier]).failure.reason == "PodsRefused"
    assert status_of([a_lonely_job(), an_event("BackOff", "of no meaning here")]).failure is None


@pytest.mark.parametrize(
    ("deleted", "words"), [(True, "save and end; pod trainer-1 was to end by"), (False, "save and end; node gpu-7 of")]
)
def test_a_suspension_that_a_lost_node_holds_up_names_the_node(deleted, words):
    plan = quickstart_plan(suspend=True)
    assert words in status_of(on_a_lost_node(deleted=deleted), plan=plan).message
    assert status_of([*CHECK_DONE, a_job("trainer", attempt=0), rank(0, running())], plan=plan).message.endswith("save and end")


def test_an_event_is_ignored_once_its_pod_runs():
    pod = a_bound_pod(**running("checker"))
    assert status_of([a_lonely_job(), pod, an_event("FailedMount", NO_CONFIG, about="p1")]).failure is None


RUNNING = [*CHECK_DONE, a_job("trainer", attempt=0), rank(0, running())]  # since 10:00


def test_a_gang_that_does_not_report_is_not_called_stuck():
    first = status_of(RUNNING, now=NOON)
    assert (first.failure, first.running_since) == (None, NOON), "the kubelet's clock, which says 10:00, does not count"
    hour = {"now": NOON + timedelta(hours=1), "previous": first.wire()}
    status = status_of(RUNNING, **hour)
    assert (status.phase, status.reason) == ("Training", "NoReports")
    assert "no progress report since the start of its pods at 2026-01-01T12:00:00Z" in status.failure.message
    assert "training may continue" in status.failure.message
    assert [words for words in ("log of rank 0", "NetworkPolicies", "NO_PROXY") if words not in status.failure.suggestion] == []
    assert status_of(RUNNING, **hour, plan=quickstart_plan(progress_deadline_seconds=3 * 3600)).failure is None
    assert status_of(RUNNING, **hour, plan=quickstart_plan(progress_url="")).failure is None, "who cannot report is not judged"


def at_step(step, *, at):
    return posted(at=at, **{words.STEP: step, words.MAX_STEPS: 10})


def test_only_a_new_step_is_progress():
    first = status_of(RUNNING, progress=at_step(5, at=0), now=NOON)
    assert (first.failure, first.progress.step_time) == (None, NOON)
    again = at_step(5, at=3600)
    still = status_of(RUNNING, progress=again, previous=first.wire(), now=NOON + timedelta(hours=1))
    assert still.failure.reason == "NoProgress"
    assert "reports arrive, but no step since step 5 at 2026-01-01T12:00:00Z" in still.failure.message
    assert "progressDeadlineSeconds" in still.failure.suggestion
    silent = status_of(RUNNING, progress=at_step(5, at=0), previous=first.wire(), now=NOON + timedelta(hours=1))
    assert silent.failure.reason == "NoReports"
    assert "no progress report since step 5 at 2026-01-01T12:00:00Z" in silent.failure.message
    healed = status_of(RUNNING, progress=at_step(6, at=3700), previous=still.wire(), now=NOON + timedelta(seconds=3700))
    assert (healed.failure, healed.reason) == (None, "Running")


SKEWS = [timedelta(hours=hours) for hours in (-1, 0, 1)]


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize(
    ("reason", "steps"),
    [
        pytest.param(None, [(0, 1), (20, 2), (40, 3)], id="steps arrive"),
        pytest.param("NoProgress", [(0, 1), (20, 1), (40, 1)], id="reports arrive without a step"),
        pytest.param("NoReports", [(0, 1), (20, None), (40, None)], id="nothing arrives any more"),
        pytest.param("NoReports", [(0, None), (20, None), (40, None)], id="nothing has ever arrived"),
    ],
)
def test_an_hour_of_clock_skew_changes_nothing(reason, steps, skew):
    """`skew`: how far the clocks of pods, nodes and API server differ from the operator's. Each report bears its pod's time."""
    began = NOON + skew
    pods = [*CHECK_DONE, a_job("trainer", attempt=0), rank(0, running(since=began.isoformat()))]
    now = [NOON]
    board, status = Board(clock=lambda: now[0]), None
    for minute, step in steps:
        now[0] = NOON + timedelta(minutes=minute)
        if step is not None:
            board.post(KEY, "u", at_step(step, at=minute * 60 + skew.total_seconds()))
        report = board.latest(KEY, "u")
        status = status_of(pods, progress=report, previous=status.wire() if status else None, now=now[0])
    assert (status.failure.reason if status.failure else None) == reason
    if reason is None:
        assert status.progress.estimated_remaining_seconds == 7 * 20 * 60
        assert status.progress.last_updated_time == now[0]
