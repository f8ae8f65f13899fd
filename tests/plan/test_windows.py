"""The overlap of windows in the trainer's configuration: of the task that reads long contexts in windows, and of no other."""

import pytest
from plan_jobs import CLUSTER, job

from tunewright.plan.inputs import Defaults, Past
from tunewright.plan.plan import plan


def config(task, **data):
    return plan(job({"task": task, "data": data}), CLUSTER, Past(), Defaults(), model_facts=None).config.data


@pytest.mark.parametrize(("overlap", "data"), [(128, {"maxLength": 512}), (96, {"maxLength": 384}), (7, {"docStride": 7})])
def test_windows_overlap_as_the_job_says_or_by_default(overlap, data):
    assert config("QuestionAnswering", **data).doc_stride == overlap


def test_without_windows_the_configuration_has_no_overlap():
    found = config("ChatCompletion")
    assert found.doc_stride is None
    assert "doc_stride" not in found.model_dump_json()
