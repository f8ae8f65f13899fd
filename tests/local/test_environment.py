"""Environment of a container's process: paths, ports and names are translated to this machine; all else stays unchanged."""

from pathlib import Path

import pytest

from tunewright.local.environment import PodContext, arguments_of, environment_of, expand, relocate
from tunewright.local.network import resolve
from tunewright_runtime.errors import Invalid

PLACE = PodContext(
    root=Path("/pod/root"),
    mount_paths=["/workspace/output", "/etc/tunewright", "/dev/termination-log"],
    ports={29500: 20123, 8080: 20456},
    services=["demo-train", "demo-serve"],
    secret=lambda name, key, _: {"hub/token": "hf_secret"}.get(f"{name}/{key}"),
    config=lambda name, key: {"settings/size": "3"}.get(f"{name}/{key}"),
    host={
        "PATH": "/bin",
        "HOME": "/home/me",
        "HF_TOKEN": "hf_mine",
        "AWS_SECRET_ACCESS_KEY": "no",
        "LC_ALL": "C",
        "https_proxy": "http://p",
    },
)
POD = {
    "metadata": {"name": "demo-0", "namespace": "default", "uid": "u", "labels": {"app": "demo"}, "annotations": {"index": "1"}},
    "spec": {},
}


def env(*variables: dict, **more) -> dict[str, str]:
    found = environment_of(POD, {"name": "c", "env": list(variables), **more}, PLACE)
    return {name: found[name] for name in found if name not in PLACE.host}


@pytest.mark.parametrize(
    ("want", "value"),
    [
        ("/pod/root/workspace/output", "/workspace/output"),
        ("/pod/root/workspace/output/demo/r1", "/workspace/output/demo/r1"),
        ("/pod/root/workspace", "/workspace"),
        ("/pod/root/workspace/", "/workspace/"),
        ("/pod/root/etc/tunewright/config.json", "/etc/tunewright/config.json"),
        ("/workspace/outputs", "/workspace/outputs"),
        ("/usr/bin/python", "/usr/bin/python"),
        ("/", "/"),
        ("workspace/output", "workspace/output"),
        ("/pod/root/workspace/output", "/pod/root/workspace/output"),
    ],
    ids=[
        "a mount",
        "in a mount",
        "holds mounts",
        "with a slash",
        "a file in a mount",
        "only begins like one",
        "elsewhere",
        "everything",
        "relative",
        "done already",
    ],
)
def test_paths(want: str, value: str):
    assert relocate(value, PLACE) == want


@pytest.mark.parametrize(
    ("want", "variable"),
    [
        ("20123", {"name": "PET_MASTER_PORT", "value": "29500"}),
        ("20456", {"name": "TUNEWRIGHT_PORT", "value": "8080"}),
        ("29500", {"name": "MAX_STEPS", "value": "29500"}),
        ("9999", {"name": "OTHER_PORT", "value": "9999"}),
        ("127.0.0.1", {"name": "PET_MASTER_ADDR", "value": "demo-train-0-0.demo-train"}),
        ("127.0.0.1:29500", {"name": "RDZV_ENDPOINT", "value": "demo-train.default.svc.cluster.local:29500"}),
        ("127.0.0.1", {"name": "TUNEWRIGHT_HOST", "value": "0.0.0.0"}),
        ("demo-serve", {"name": "TUNEWRIGHT_MODEL_NAME", "value": "demo-serve"}),
        ("example.org", {"name": "SOME_HOST", "value": "example.org"}),
        ("my-demo-train", {"name": "SOME_HOST", "value": "my-demo-train"}),
        ("1", {"name": "RANK", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['index']"}}}),
        ("demo-0", {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        ("hf_secret", {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}),
        ("3", {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "size"}}}),
        ("", {"name": "EMPTY"}),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else value,
)
def test_variables(want: str, variable: dict):
    assert env(variable) == {variable["name"]: want}


def test_later_variables_may_use_earlier_ones():
    found = env({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2 $(C) $$(A)"}, {"name": "C", "value": "x"})
    assert found["B"] == "12 $(C) $(A)"


def test_only_variables_that_an_image_would_set_are_inherited():
    found = environment_of(POD, {"name": "c"}, PLACE)
    assert found == {"PATH": "/bin", "HOME": "/home/me", "LC_ALL": "C", "https_proxy": "http://p"}


@pytest.mark.parametrize(
    ("match", "variable"),
    [
        ("Secret hub has no key nothing", {"name": "T", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "nothing"}}}),
        ("ConfigMap none has no key x", {"name": "T", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x"}}}),
        ("status.qosClass is not known", {"name": "T", "valueFrom": {"fieldRef": {"fieldPath": "status.qosClass"}}}),
        ("resourceFieldRef, which is not supported", {"name": "T", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}),
    ],
    ids=["no such key", "no such ConfigMap", "no such field", "no such source"],
)
def test_missing_references_are_named(match: str, variable: dict):
    with pytest.raises(Invalid, match=match):
        env(variable)


def test_an_optional_secret_may_be_absent():
    assert env({"name": "T", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "nothing", "optional": True}}}) == {}


def test_env_from_is_refused_rather_than_ignored():
    with pytest.raises(Invalid, match="envFrom is not supported"):
        env(envFrom=[{"configMapRef": {"name": "settings"}}])


def test_arguments_are_expanded_and_relocated():
    container = {
        "name": "c",
        "command": ["python", "--out=/workspace/output/x"],
        "args": ["/etc/tunewright", "$(A)", "$(NOBODY)", "a=/workspace/output"],
    }
    assert arguments_of(container, {"A": "/pod/root/workspace/output"}, PLACE) == [
        "python", "--out=/pod/root/workspace/output/x", "/pod/root/etc/tunewright", "/pod/root/workspace/output", "$(NOBODY)", "a=/workspace/output",
    ]  # fmt: skip


def test_a_container_without_a_command_is_refused():
    with pytest.raises(Invalid, match="has no command"):
        arguments_of({"name": "c", "args": ["x"]}, {}, PLACE)


@pytest.mark.parametrize(("want", "text"), [("a-1", "a-$(X)"), ("$(Y)", "$(Y)"), ("$(X)", "$$(X)"), ("$X", "$X"), ("$", "$$")])
def test_references(want: str, text: str):
    assert expand(text, {"X": "1"}) == want


def test_a_service_of_another_namespace_is_not_translated():
    assert resolve("A_HOST", "demo-train.other.svc", namespace="default", services=["demo-train"]) == "demo-train.other.svc"
