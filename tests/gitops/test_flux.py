"""Flux's view of a FineTuneJob: the committed CEL expressions, and kstatus, which Flux uses without them.

The thorough level compares our reading of kstatus with Flux's own code (`kstatus/`).
"""

from pathlib import Path

import celpy
import pytest
from celpy.adapter import json_to_cel
from gitops_programs import ask
from judged_statuses import judged
from kstatus import KSTATUS
from plan_builders import exporting, quickstart_plan, serving
from ruamel.yaml import YAML

from tunewright.render import render

FOLDER = Path(__file__).parents[2] / "examples/gitops/flux"
ORDER = (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current"))


def expressions():
    (found,) = [item for item in YAML(typ="safe").load_all(FOLDER / "jobs.yaml") if item["kind"] == "Kustomization"]
    (check,) = found["spec"]["healthCheckExprs"]
    assert (check["apiVersion"], check["kind"]) == ("tunewright.io/v1alpha1", "FineTuneJob")
    return check


def verdict(job):
    """Decide as Flux does: the first expression that is true counts. Otherwise the object is in progress."""
    environment = celpy.Environment()
    for name, means in ORDER:
        program = environment.program(environment.compile(expressions()[name]))
        try:
            if program.evaluate({key: json_to_cel(value) for key, value in job.items()}):
                return means
        except celpy.CELEvalError:
            return "InProgress"
    return "InProgress"


def kstatus(job):
    """Decide by the conventions alone (sigs.k8s.io/cli-utils, pkg/kstatus): deletion, generation, Reconciling, Stalled, Ready."""
    status, metadata = job.get("status", {}), job["metadata"]
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    true = {condition["type"] for condition in status.get("conditions", ()) if condition["status"] == "True"}
    if "Reconciling" in true:
        return "InProgress"
    if "Stalled" in true:
        return "Failed"
    ready = [condition["status"] == "True" for condition in status.get("conditions", ()) if condition["type"] == "Ready"]
    return "Current" if all(ready) else "InProgress"  # an object without the condition Ready counts as current


LIVING = [case for case in judged() if case.name != "going"]  # Flux does not check objects in deletion


@pytest.mark.parametrize("case", LIVING, ids=lambda case: case.name)
def test_a_job_s_health_by_expressions(case):
    assert verdict(case.job) == case.flux


@pytest.mark.parametrize("case", LIVING, ids=lambda case: case.name)
def test_a_job_s_health_by_convention(case):
    assert kstatus(case.job) == ("InProgress" if case.name == "suspended" else case.flux)


def test_ready_is_never_true_beside_reconciling_or_stalled():
    for case in judged():
        true = {condition["type"] for condition in case.job.get("status", {}).get("conditions", ()) if condition["status"] == "True"}
        assert len(true & {"Ready", "Reconciling", "Stalled"}) <= 1, case.name


def by_flux(objects):
    """Return the verdict of Flux's own kstatus on each object."""
    return [verdict["status"] for verdict in ask(KSTATUS, objects)]


@pytest.mark.gitops
def test_flux_s_own_kstatus_gives_the_same_verdict_on_each_job():
    cases = judged()
    ours = {case.name: kstatus(case.job) for case in cases}

    assert dict(zip(ours, by_flux([case.job for case in cases]), strict=True)) == ours
    assert ours["going"] == "Terminating"


def child(kind, name, **status):
    """Return a child of a served job, with a status as its controller writes it."""
    plan = serving(exporting(quickstart_plan()))
    (found,) = [each for each in render(plan).children if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return {**found, "metadata": {**found["metadata"], "generation": 1}, "status": status}


def condition(kind, status="True", **more):
    return {"type": kind, "status": status, **more}


READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
UP = [condition("Available"), condition("Progressing", reason="NewReplicaSetAvailable")]
LATE = [condition("Progressing", "False", reason="ProgressDeadlineExceeded")]
BEGUN = {"startTime": "2026-01-01T12:00:00Z"}
CHILDREN = [  # verdict, child, its status
    ("InProgress", ("Deployment", "support-bot-serve"), {}),
    ("InProgress", ("Deployment", "support-bot-serve"), {**READY, "readyReplicas": 0, "availableReplicas": 0}),
    ("Current", ("Deployment", "support-bot-serve"), {**READY, "conditions": UP}),
    ("Failed", ("Deployment", "support-bot-serve"), {**READY, "availableReplicas": 0, "conditions": LATE}),
    ("InProgress", ("Job", "support-bot-train-0"), {}),
    ("Current", ("Job", "support-bot-train-0"), {**BEGUN, "active": 2}),
    ("Current", ("Job", "support-bot-train-0"), {**BEGUN, "succeeded": 2, "conditions": [condition("Complete")]}),
    ("Failed", ("Job", "support-bot-train-0"), {**BEGUN, "conditions": [condition("Failed", message="a pod failed")]}),
    ("InProgress", ("PersistentVolumeClaim", "support-bot-output"), {"phase": "Pending"}),
    ("Current", ("PersistentVolumeClaim", "support-bot-output"), {"phase": "Bound"}),
]


@pytest.mark.gitops
def test_flux_s_own_kstatus_reads_the_children_of_a_job():
    assert by_flux([child(*which, **status) for _, which, status in CHILDREN]) == [verdict for verdict, *_ in CHILDREN]
