"""What is rendered for five jobs, in full. Read the files: they are what a cluster gets."""

from dataclasses import replace

import pytest
from plan_builders import GANG, exporting, hub_plan, quickstart_plan, serving

from tunewright.render import render

JOBS = {
    "quickstart-cpu": quickstart_plan(),
    "gpu-zero3-hub": hub_plan(),
    "serving": serving(quickstart_plan(), replicas=2, max_length=2048),
    "suspended": quickstart_plan(suspend=True),
    "second-attempt": quickstart_plan(train=replace(GANG, attempt=1)),
    "exporting-hub": exporting(hub_plan()),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_renders_as_recorded(name, golden):
    expected, rendered = golden(name, render(JOBS[name]).children)
    assert rendered == expected
