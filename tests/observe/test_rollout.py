"""The revisions of a Deployment: the live one, whether its rollout was complete, why it failed, and the previous one."""

import pytest
from child_builders import COMPLETE, REVISION, SERVING, STUCK, a_deployment, a_pod, a_template, ended, running, waiting

from tunewright.observe import observe
from tunewright.plan.inputs import StageState
from tunewright.plan.rollout import Refusal, ServingRevision
from tunewright_contract.reports import Failure, dump
from tunewright_contract.stages import SERVE

WRONG = Failure(reason="SmokeTestFailed", message="the model answered nothing", suggestion="train it")
BEFORE = ServingRevision(name="3f9a1c2b-ffffff", template=a_template("3f9a1c2b-ffffff"))
REFUSED = Refusal(revision=SERVING, failure=WRONG)
ALL = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
MEANWHILE = {"replicas": 3, "updatedReplicas": 1, "readyReplicas": 2}
NOTES = {"tunewright.io/previous": BEFORE.model_dump_json(), "tunewright.io/refused": REFUSED.model_dump_json()}


def see(*children):
    return observe(children, revision=REVISION)


def rollout(*children):
    return see(*children).past.serve.rollout


def again(code: int, message: str = "", **now):
    """The status of a server whose container ended, and was started again."""
    (container,) = (now or running("server"))["containerStatuses"]
    return {"phase": "Running", "containerStatuses": [container | {"lastState": {"terminated": {"exitCode": code, "message": message}}}]}


def test_the_live_revision_is_read_from_the_stored_template():
    deployment = a_deployment()
    deployment["spec"]["template"]["metadata"]["creationTimestamp"] = None
    assert rollout(deployment).live == ServingRevision(name=SERVING, template=a_template(SERVING))
    assert rollout().live is None
    assert rollout({"kind": "Deployment", "metadata": deployment["metadata"]}).live.name == ""


@pytest.mark.parametrize(
    ("expected", "status"),
    [
        (True, {**ALL, "conditions": [COMPLETE]}),
        (True, {**ALL, "readyReplicas": 1, "conditions": [COMPLETE]}),
        (False, {**ALL, "conditions": [COMPLETE], "observedGeneration": 3}),
        (False, {**MEANWHILE, "conditions": [COMPLETE]}),
        (False, {**ALL, "conditions": [COMPLETE | {"reason": "ReplicaSetUpdated"}]}),
        (False, ALL),
        (True, {"conditions": [COMPLETE]}),
    ],
    ids=["all of it", "a pod is lost later", "of something older", "old ones are there", "on its way", "no word", "of no replicas"],
)
def test_a_revision_is_completed_once_all_its_replicas_were_available(expected, status):
    assert rollout(a_deployment(**status)).completed is expected


@pytest.mark.parametrize(
    ("expected", "status", "pod"),
    [
        ("SmokeTestFailed", {}, a_pod("server", **again(65, dump(WRONG)))),
        ("SmokeTestFailed", {}, a_pod("server", **again(65, dump(WRONG), **waiting("CrashLoopBackOff", component="server")))),
        ("SmokeTestFailed", {}, a_pod("server", **ended(65, dump(WRONG), component="server"))),
        ("ProcessFailed", {}, a_pod("server", **again(70, "Traceback"))),
        (None, {}, a_pod("server", **again(137))),
        (None, {}, a_pod("server", **again(0))),
        (None, {}, a_pod("server", **running("server"))),
        (None, {}, a_pod("server", serving="another", **again(65, dump(WRONG)))),
        (None, {"observedGeneration": 3}, a_pod("server", **again(65, dump(WRONG)))),
        (None, {**ALL, "conditions": [COMPLETE]}, a_pod("server", **again(65, dump(WRONG)))),
        ("ProgressDeadlineExceeded", {"conditions": [STUCK]}, a_pod("server", **running("server"))),
        ("ImagePullBackOff", {"conditions": [STUCK]}, a_pod("server", **waiting("ErrImagePull", "not found", component="server"))),
        (None, {}, a_pod("server", **waiting("ErrImagePull", "not found", component="server"))),
    ],
    ids=[
        "its answer was wrong, and it is tried again",
        "its answer was wrong, and it waits to be tried again",
        "its answer was wrong just now",
        "a defect",
        "out of memory: worth another try",
        "it ended well",
        "nothing is wrong",
        "of another revision",
        "nothing is known yet",
        "of one that was good: no rollout's affair",
        "too late",
        "too late, and a pod knows why",
        "an image may yet come",
    ],
)
def test_reasons_for_a_failed_revision(expected, status, pod):
    found = see(a_deployment(**status), pod)
    failure = found.past.serve.rollout.failure
    assert (failure.reason if failure else None) == expected
    assert (found.past.serve.state is StageState.FAILED) is (expected is not None)


def test_the_pod_that_answered_wrongly_is_named():
    found = see(a_deployment(), a_pod("server", **again(65, dump(WRONG))))
    assert (found.failed_pods[SERVE].name, found.failed_pods[SERVE].exit_code) == ("server-0", 65)
    assert found.past.serve.failure.suggestion == "train it"


def test_previous_and_refused_revisions_are_read_from_annotations():
    found = rollout(a_deployment(annotations=NOTES))
    assert (found.previous, found.refused) == (BEFORE, REFUSED)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 1}'])
def test_edited_annotations_count_as_absent(text):
    found = rollout(a_deployment(annotations=dict.fromkeys(NOTES, text)))
    assert (found.previous, found.refused) == (None, None)


def test_a_rolled_back_revision_has_failed_although_another_answers():
    found = see(a_deployment(runs=BEFORE.name, annotations=NOTES, **ALL, conditions=[COMPLETE])).past.serve
    assert (found.state, found.failure, found.ready_replicas) == (StageState.FAILED, WRONG, 2)
