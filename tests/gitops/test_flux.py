"""Flux's view of a FineTuneJob: the committed CEL expressions, and kstatus, which Flux uses without them."""

from pathlib import Path

import celpy
import pytest
from celpy.adapter import json_to_cel
from judged_statuses import judged
from ruamel.yaml import YAML

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
