"""Decides who sets the number of servers: the job, or an autoscaler of the Deployment. The plan then has the number it finds."""

from tunewright.api.v1alpha1.serving import ServingSpec
from tunewright.plan.inputs import ServeOutcome


def is_handed_over(serving: ServingSpec, live: ServeOutcome) -> bool:
    """Return whether an autoscaler of the Deployment sets the number: the job states it, or the Deployment shows it."""
    return serving.autoscaling is not None or bool(live.scaler)


def servers_of(serving: ServingSpec, live: ServeOutcome) -> int:
    """Return the number of servers to render. The job's own number is also the one that an autoscaler starts from."""
    return live.replicas if live.replicas is not None and is_handed_over(serving, live) else serving.replicas
