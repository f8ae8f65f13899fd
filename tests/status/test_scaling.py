"""What people read when something else than the job has set the number of servers."""

from dataclasses import replace

import pytest
from plan_builders import quickstart_plan
from status_builders import NOON, a_job, seen

from tunewright.api.v1alpha1.serving import AutoscalingSpec, ServingSpec
from tunewright.plan.inputs import ServeOutcome
from tunewright.plan.plan_types import ServePlan
from tunewright.plan.rollout import PublishedModel
from tunewright.status import summarise
from tunewright.status.serving import reverted, scaling_warnings

PLAN = quickstart_plan(serve=ServePlan(replicas=2, model=PublishedModel(job="support-bot", revision="r", claim="c"), model_name="bot"))
KEDA = "KEDA (field manager keda-operator)"
STATED = ServingSpec(autoscaling=AutoscalingSpec())


@pytest.mark.parametrize(
    ("warned", "serving", "live"),
    [
        (True, ServingSpec(), ServeOutcome(scaler=KEDA)),
        (False, STATED, ServeOutcome(scaler=KEDA)),
        (False, ServingSpec(), ServeOutcome()),
        (False, None, ServeOutcome(scaler=KEDA)),
    ],
    ids=["recognised", "stated", "none", "no server any more"],
)
def test_a_recognised_autoscaler_is_reported(warned, serving, live):
    assert len(scaling_warnings(serving, PLAN, live)) == warned


def test_the_warning_names_both_ways_out():
    found = summarise(
        a_job(),
        PLAN,
        replace(seen(serve=ServeOutcome(scaler=KEDA)), warnings=("another",)),
        serving=None,
        progress=None,
        now=NOON,
        previous=None,
    )
    warning = (
        "spec.serving.replicas has no effect: KEDA (field manager keda-operator) sets the number of servers of Deployment "
        "support-bot-serve. To leave it so, set serving.autoscaling: {}. To set the number in the job again, delete the autoscaler, then "
        'run `kubectl patch deployment/support-bot-serve --type=merge --patch=\'{"spec":{"replicas":N}}\'` with another N than the present one'
    )
    assert found.warnings == (warning, "another")


@pytest.mark.parametrize(
    ("told", "plan", "live"),
    [
        (True, PLAN, ServeOutcome(replicas=5, set_by="kubectl")),
        (False, PLAN, ServeOutcome(replicas=2, set_by="kubectl")),
        (False, PLAN, ServeOutcome(replicas=5)),
        (False, PLAN, ServeOutcome(set_by="kubectl")),
        (False, quickstart_plan(), ServeOutcome(replicas=5, set_by="kubectl")),
    ],
    ids=["another number", "the same number", "set by the job", "a half-filled Deployment", "no server is planned"],
)
def test_a_reverted_number_is_reported(told, plan, live):
    assert bool(reverted(plan, live)) is told


def test_the_report_names_the_field_the_values_and_the_ways_out():
    assert reverted(PLAN, ServeOutcome(replicas=5, set_by="kubectl")) == (
        "Deployment support-bot-serve: spec.replicas: kubectl set 5, and the operator set it back to 2, the job's spec.serving.replicas. "
        "To change it, run `kubectl scale ftj/support-bot --replicas=5`; if an autoscaler of the Deployment sets it, add "
        "serving.autoscaling: {} to the job"
    )
