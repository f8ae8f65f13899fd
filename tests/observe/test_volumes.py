"""Warnings about a claim that is being deleted, or was deleted."""

import pytest
from child_builders import REVISION, a_job

from tunewright.observe import observe
from tunewright.observe.volumes import claim_sizes, mounted_config_maps

EARLY, NOON, LATE = (f"2026-01-01T{hour:02d}:00:00Z" for hour in (10, 12, 14))


def a_claim(made, **meta):
    labels = {"tunewright.io/component": "shared"}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": "bot-output", "creationTimestamp": made, "labels": labels, **meta}}


def a_gang(made):
    job = a_job("trainer", attempt=0)
    job["metadata"]["creationTimestamp"] = made
    return job


@pytest.mark.parametrize(
    ("expected", "children"),
    [
        ([], [a_claim(EARLY), a_gang(NOON)]),
        ([], [a_claim(NOON), a_gang(NOON)]),
        ([], [a_claim(LATE)]),
        ([], [a_claim(""), a_gang(NOON)]),
        ([], [a_claim(LATE), a_gang("")]),
        (["was created again"], [a_claim(LATE), a_gang(NOON)]),
        (["was created again"], [a_claim(NOON), a_gang(LATE), a_gang(EARLY)]),
        (["is being deleted"], [a_claim(EARLY, deletionTimestamp=LATE), a_gang(NOON)]),
        (["is being deleted"], [a_claim(EARLY, deletionTimestamp=LATE)]),
    ],
    ids=[
        "as it should be",
        "made in one second",
        "no gang yet",
        "of no known time",
        "a gang of no known time",
        "it is younger than the gang",
        "younger than the first gang",
        "going",
        "going before there is a gang",
    ],
)
def test_warnings_about_claims(expected, children):
    said = observe(children, revision=REVISION).warnings
    assert [word for word in expected if word in " ".join(said)] == expected
    assert len(said) == len(expected)
    assert all("claim bot-output" in word for word in said)


def a_job_with(*volumes):
    return {"kind": "Job", "spec": {"template": {"spec": {"volumes": list(volumes)}}}}


def test_only_config_maps_of_jobs_are_in_use():
    mounting = a_job_with({"configMap": {"name": "one"}}, {"emptyDir": {}}, {"configMap": {}}, {"configMap": {"name": "two"}})
    deployment = a_job_with({"configMap": {"name": "three"}}) | {"kind": "Deployment"}
    assert mounted_config_maps([mounting, deployment, {"kind": "Job"}, {"kind": "ConfigMap"}]) == {"one", "two"}


@pytest.mark.parametrize(
    ("expected", "requests"),
    [
        ({"out": "40Gi"}, {"out": {"storage": "40Gi"}}),
        ({"old": "1Gi", "out": "40Gi"}, {"old": {"storage": "1Gi"}, "out": {"storage": "40Gi"}}),
        ({}, {"out": {}}),
        ({}, {"out": {"storage": ["1Gi"]}}),
        ({}, {}),
    ],
)
def test_the_sizes_that_claims_request(expected, requests):
    claims = [
        {"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {"resources": {"requests": requested}}}
        for name, requested in requests.items()
    ]
    assert claim_sizes([{"kind": "Job", "metadata": {"name": "out"}}, *claims]) == expected
