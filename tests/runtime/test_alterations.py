"""What admission has changed in our own writes: accepted, or reported and written again after growing pauses."""

import pytest

from tunewright_runtime.alterations import FIRST_SECONDS, LONGEST_SECONDS, Alterations
from tunewright_runtime.differences import differences
from tunewright_runtime.objects import ObjectRef

DEPLOYMENT = ObjectRef("Deployment", "team", "bot-serve")
CONTAINER = {
    "name": "server",
    "image": "tunewright/server:0.1.0",
    "command": ["serve"],
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    "resources": {"limits": {"cpu": "1"}},
    "securityContext": {"readOnlyRootFilesystem": True},
}


def made(*, uid="1", managers=(), more=(), kind="Deployment", replicas=2, **container):
    """An object; a container's field that is None is missing."""
    one = {name: value for name, value in (CONTAINER | container).items() if value is not None}
    spec = {"replicas": replicas, "template": {"spec": {"containers": [one, *more]}}}
    fields = [{"manager": name, "operation": "Update", "fieldsV1": below} for name, below in managers]
    return {"kind": kind, "metadata": {"name": "bot-serve", "namespace": "team", "uid": uid, "managedFields": fields}, "spec": spec}


@pytest.mark.parametrize(
    ("paths", "stored"),
    [
        pytest.param([], made(), id="as written"),
        pytest.param([], made(resources={"limits": {"cpu": "1000m"}}), id="the same quantity"),
        pytest.param([], made(env=[{"name": "PROXY"}, *CONTAINER["env"]]), id="a variable is added"),
        pytest.param([], made(more=[{"name": "proxy"}]), id="a container is added"),
        pytest.param(["[server].command"], made(command=["other"]), id="another command"),
        pytest.param(["[server].securityContext"], made(securityContext=None), id="a removed security context"),
        pytest.param(["[server].securityContext.privileged"], made(securityContext={"readOnlyRootFilesystem": True, "privileged": True}),
                     id="widened access"),
        pytest.param(["[server].resources.limits.cpu"], made(resources={"limits": {"cpu": "4"}}), id="other resources"),
        pytest.param(["[server].env[A].value"], made(env=[{"name": "A", "value": "9"}, CONTAINER["env"][1]]), id="another value"),
        pytest.param(["[server].env[B]"], made(env=[CONTAINER["env"][0]]), id="a removed variable"),
        pytest.param(["[server].env"], made(env=CONTAINER["env"][::-1]), id="another order"),
    ],
)  # fmt: skip
def test_the_fields_that_are_not_stored_as_written(paths, stored):
    found = [one.path.removeprefix("spec.template.spec.containers") for one in differences(stored, made())]
    assert found == paths


@pytest.mark.parametrize(
    ("reported", "stored"),
    [
        (False, made(image="mirror.example/tunewright/server:0.1.0")),
        (False, made(image="localhost/tunewright/server:0.1.0")),
        (False, made(image="mirror:5000/tunewright/server:0.1.0")),
        (True, made(image="mirror.example/tunewright/server:0.2.0")),
        (True, made(image="mirror.example/other/server:0.1.0")),
        (True, made(image=None)),
        (True, made(command=["other"])),
        (True, made(replicas=5)),
    ],
)
def test_only_another_registry_is_accepted(reported, stored):
    known = Alterations(clock=lambda: 0.0)
    known.note(DEPLOYMENT, made(), stored, manager="tunewright")
    assert bool(known.messages([DEPLOYMENT])) is reported
    assert known.rests(DEPLOYMENT, made(), stored)


def test_a_queue_may_hold_a_job_back():
    ref, job = ObjectRef("Job", "team", "bot-train-0"), {"kind": "Job", "metadata": {"uid": "1"}, "spec": {"suspend": True}}
    known = Alterations(clock=lambda: 0.0)
    known.note(ref, {**job, "spec": {"suspend": False}}, job, manager="tunewright")
    assert known.messages([ref]) == ()


def test_a_harmful_change_is_written_again_after_growing_pauses():
    now, known, stored = [0.0], Alterations(clock=lambda: now[0]), made(command=["other"])
    pauses = []
    for _ in range(12):
        known.note(DEPLOYMENT, made(), stored, manager="tunewright")
        begun = now[0]
        while known.rests(DEPLOYMENT, made(), stored):
            now[0] += FIRST_SECONDS
        pauses.append(now[0] - begun)
    assert pauses[:4] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]
    assert pauses[-1] == LONGEST_SECONDS


@pytest.mark.parametrize(
    ("rests", "rendered", "live"),
    [
        pytest.param(True, made(), made(command=["a third"]), id="a policy whose value changes"),
        pytest.param(False, made(), made(command=["other"], resources={"limits": {"cpu": "9"}}), id="someone has edited another field"),
        pytest.param(False, made(replicas=3), made(command=["other"]), id="another object is rendered"),
        pytest.param(False, made(), made(command=["other"], uid="2"), id="it was deleted and created again"),
    ],
)
def test_a_pause_ends_with_any_other_change(rests, rendered, live):
    known = Alterations(clock=lambda: 0.0)
    known.note(DEPLOYMENT, made(), made(command=["other"]), manager="tunewright")
    assert known.rests(DEPLOYMENT, rendered, live) is rests


def test_an_object_that_is_as_written_again_is_forgotten():
    known = Alterations(clock=lambda: 0.0)
    known.note(DEPLOYMENT, made(), made(command=["other"]), manager="tunewright")
    known.note(DEPLOYMENT, made(), made(), manager="tunewright")
    assert (known.messages([DEPLOYMENT]), known.rests(DEPLOYMENT, made(), made())) == ((), False)


@pytest.mark.parametrize(
    ("who", "managers"),
    [
        ("an admission webhook or policy", ()),
        ("an admission webhook or policy", [("tunewright", {"f:spec": {"f:replicas": {}}})]),
        ("the field manager autopilot", [("autopilot", {"f:spec": {"f:replicas": {}}})]),
    ],
)
def test_the_message_names_field_values_and_manager(who, managers):
    known = Alterations(clock=lambda: 0.0)
    known.note(DEPLOYMENT, made(), made(replicas=5, command=["x" * 500], managers=managers), manager="tunewright")
    (message,) = known.messages([DEPLOYMENT])
    assert f"Deployment bot-serve: spec.replicas: 2 was written, and {who} made it 5 (1 more fields differ)" in message


def test_a_manager_of_an_item_of_a_list_is_found():
    below = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"server"}': {"f:command": {}}}}}}}
    known = Alterations(clock=lambda: 0.0)
    known.note(DEPLOYMENT, made(), made(command=["x" * 500], managers=[("argocd", below)]), manager="tunewright")
    (message,) = known.messages([DEPLOYMENT])
    assert "the field manager argocd" in message
    assert len(message) < 1000
