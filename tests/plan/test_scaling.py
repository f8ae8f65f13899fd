"""Whose number of servers is rendered: the job's, or that of an autoscaler of the Deployment."""

import pytest

from tunewright.api.v1alpha1.serving import AutoscalingSpec, ServingSpec
from tunewright.plan.inputs import ServeOutcome
from tunewright.plan.stages import servers_of

KEDA = "KEDA (field manager keda-operator)"


@pytest.mark.parametrize(
    ("expected", "autoscaling", "live"),
    [
        (3, None, ServeOutcome()),
        (3, None, ServeOutcome(replicas=5, set_by="kubectl")),
        (5, None, ServeOutcome(replicas=5, scaler=KEDA)),
        (0, None, ServeOutcome(replicas=0, scaler=KEDA)),
        (3, AutoscalingSpec(), ServeOutcome()),
        (5, AutoscalingSpec(), ServeOutcome(replicas=5, set_by="kubectl")),
        (0, AutoscalingSpec(), ServeOutcome(replicas=0)),
    ],
    ids=["no server yet", "a person", "recognised", "recognised at zero", "stated, no server yet", "stated", "stated at zero"],
)
def test_the_number_of_servers(expected, autoscaling, live):
    assert servers_of(ServingSpec(replicas=3, autoscaling=autoscaling), live) == expected
