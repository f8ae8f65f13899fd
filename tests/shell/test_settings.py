"""The operator's environment: what it means, and what is refused, by name."""

import pytest

from tunewright.shell.settings import OperatorSettings, read_settings
from tunewright_runtime.errors import Invalid


@pytest.mark.parametrize(
    ("expected", "environ"),
    [
        ({}, {}),
        ({}, {"TUNEWRIGHT_CONFIG": "another program's", "PATH": "/bin"}),
        ({"namespaces": ("a", "b")}, {"TUNEWRIGHT_NAMESPACES": "a, b,"}),
        ({"namespaces": ()}, {"TUNEWRIGHT_NAMESPACES": ""}),
        ({"read_cluster": True}, {"TUNEWRIGHT_READ_CLUSTER": "true"}),
        (
            {"resync_seconds": 2.5, "watch_silence_seconds": 30.0},
            {"TUNEWRIGHT_RESYNC_SECONDS": "2.5", "TUNEWRIGHT_WATCH_SILENCE_SECONDS": "30"},
        ),
        ({"workers": 3, "health_port": 9}, {"TUNEWRIGHT_WORKERS": "3", "TUNEWRIGHT_HEALTH_PORT": "9"}),
        (
            {"leader_election": True, "pod_name": "op-1", "pod_namespace": "system"},
            {"TUNEWRIGHT_LEADER_ELECTION": "true", "TUNEWRIGHT_POD_NAME": "op-1", "TUNEWRIGHT_POD_NAMESPACE": "system"},
        ),
        ({"progress_url": "http://op.tunewright.svc:8080"}, {"TUNEWRIGHT_PROGRESS_URL": "http://op.tunewright.svc:8080"}),
    ],
)
def test_settings_of_the_environment(expected, environ):
    assert read_settings(environ) == OperatorSettings(**expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TUNEWRIGHT_WORKERS", "many"),
        ("TUNEWRIGHT_WORKERS", "0"),
        ("TUNEWRIGHT_RESYNC_SECONDS", "0"),
        ("TUNEWRIGHT_HEALTH_PORT", "70000"),
        ("TUNEWRIGHT_OUTPUT_SIZE", "large"),
        ("TUNEWRIGHT_ACCELERATOR_MEMORY", "-1Gi"),
        ("TUNEWRIGHT_PROGRESS_URL", "op:8080/path"),
        ("TUNEWRIGHT_LOG_LEVEL", "loud"),
    ],
)
def test_an_invalid_setting_is_refused_by_name(name, value):
    with pytest.raises(Invalid, match=f"{name}='{value}'"):
        read_settings({name: value})


def test_leader_election_needs_the_pods_name_and_namespace():
    with pytest.raises(Invalid, match=r"TUNEWRIGHT_LEADER_ELECTION='true': .*TUNEWRIGHT_POD_NAMESPACE.*downward API"):
        read_settings({"TUNEWRIGHT_LEADER_ELECTION": "true", "TUNEWRIGHT_POD_NAME": "op-1"})


def test_planning_defaults_are_bytes():
    defaults = read_settings({"TUNEWRIGHT_ACCELERATOR_MEMORY": "24Gi", "TUNEWRIGHT_OUTPUT_SIZE": "5Gi"}).defaults()
    assert (defaults.accelerator_memory_bytes, defaults.output_size) == (24 * 2**30, "5Gi")
