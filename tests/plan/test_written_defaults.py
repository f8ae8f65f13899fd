"""A job with its defaults written out, as the API server stored it while the CRD had defaults, is the same job without them."""

import pytest
from api_jobs import in_full, raw_job
from maximal_jobs import MAXIMAL

from tunewright.api.immutable import changed_inputs
from tunewright.api.v1alpha1.job import parse
from tunewright.plan.again import wanted_of
from tunewright.plan.names import revision_of
from tunewright_contract.stages import STAGES

JOBS = {**MAXIMAL, "the smallest": {}, "empty parts": {"training": {}, "deepspeed": {}, "serving": {}, "method": {"lora": {}}}}


@pytest.mark.parametrize("name", JOBS)
def test_defaults_change_neither_inputs_nor_revision_nor_pod_settings(name):
    written, stored = parse(raw_job(JOBS[name])), parse(in_full(raw_job(JOBS[name])))

    assert changed_inputs(stored, written) == changed_inputs(written, stored) == ()
    assert revision_of(stored) == revision_of(written)
    assert [wanted_of(stored, stage) for stage in STAGES] == [wanted_of(written, stage) for stage in STAGES]
