"""Advice in status has been followed: each reason with a way out names the test that provokes the fault, follows the words and recovers."""

import ast
from pathlib import Path

import pytest

from tunewright.observe.reasons import FailureReason
from tunewright.status.failures import HELD, REFUSALS, WAYS_OUT

ROOT = Path(__file__).parents[2]
REFUSED = "tests/shell/test_refused_writes.py::test_a_refusal_is_in_status_and_a_warning_until_its_cause_is_gone"
TROUBLE = "tests/shell/test_refused_writes.py::test_an_api_server_in_trouble_is_in_the_status_of_the_jobs_whose_writes_fail"
IMAGE = "tests/shell/test_changed_settings.py::test_a_check_whose_image_is_wrong_is_made_again_with_the_correct_one"
BEFORE_START = "tests/shell/test_advice_before_start.py::test_a_job_continues_when_the_advice_in_its_status_is_followed"
FIELD = "tests/shell/test_refused_writes.py::test_a_job_continues_when_the_refused_field_is_changed_as_advised"
FIT = "tests/shell/test_early_fit.py::test_an_export_above_the_limit_range_is_reported_during_check_and_stops_the_job_before_training"
FAILURES = "tests/shell/test_advice_for_failures.py::test_the_suggestion_for_a_failed_stage_leads_to_the_next_stage"
HANGS = "tests/shell/test_advice_for_failures.py::test_the_suggestion_for_a_gang_that_hangs_restarts_it"
CRASHES = "tests/shell/test_advice_for_failures.py::test_the_suggestion_for_a_server_that_crashes_is_followed_and_the_model_is_served"
# Some reasons are in both tables of status/, with different words: of a stage or pod that fails or waits, and of a refused write.
OF_STAGES = {
    FailureReason.IMAGE_PULL: IMAGE,
    FailureReason.IMAGE_NAME: IMAGE,
    FailureReason.INIT_CONTAINER: (
        "tests/shell/test_changed_settings.py::test_a_check_that_waits_for_an_injected_init_container_is_made_again_without_it"
    ),
    FailureReason.DISRUPTED: "tests/shell/test_disruptions.py::test_a_deleted_rank_costs_no_attempt",
    FailureReason.NODE_NOT_READY: (
        "tests/node/test_lost_node.py::test_a_gang_and_a_server_continue_elsewhere_when_their_node_is_off_and_the_advice_is_followed"
    ),
    FailureReason.NODE_LOST: "tests/node/test_second_node.py::test_a_frozen_kubelet_that_confirms_no_end_is_named_until_it_goes_on",
    FailureReason.QUOTA: BEFORE_START,
    FailureReason.OUTSIDE_LIMITS: BEFORE_START,
    FailureReason.POLICY: BEFORE_START,
    FailureReason.PODS_REFUSED: BEFORE_START,
    FailureReason.SERVICE_ACCOUNT: BEFORE_START,
    FailureReason.CONTAINER_CONFIG: BEFORE_START,
    FailureReason.CONTAINER_CREATE: BEFORE_START,
    FailureReason.VOLUME_UNBOUND: BEFORE_START,
    FailureReason.VOLUME: BEFORE_START,
    FailureReason.VOLUME_BUSY: BEFORE_START,
    FailureReason.SANDBOX: BEFORE_START,
    FailureReason.ROLLOUT_STUCK: BEFORE_START,
    FailureReason.UNSCHEDULABLE: "tests/shell/test_changed_settings.py::test_a_check_that_waits_is_made_again_with_changed_settings",
    FailureReason.OUT_OF_MEMORY: FAILURES,
    FailureReason.PROCESS_FAILED: FAILURES,
    FailureReason.STOPPED: FAILURES,
    FailureReason.EVICTED: FAILURES,
    FailureReason.DEADLINE_EXCEEDED: FAILURES,
    FailureReason.JOB_FAILED: FAILURES,
    FailureReason.REPORT_INVALID: FAILURES,
    FailureReason.REPORT_MISSING: FAILURES,
    FailureReason.NO_PROGRESS: HANGS,
    FailureReason.NO_REPORTS: HANGS,
    FailureReason.CRASH_LOOP: CRASHES,
}
OF_WRITES = {
    "WebhookFailed": REFUSED,
    "QuotaExceeded": REFUSED,
    "RefusedByPolicy": REFUSED,
    "ServerBusy": TROUBLE,
    "NoAnswer": TROUBLE,
    "ServerFailed": TROUBLE,
    "PodOutsideLimits": FIT,
    "RefusedByCluster": FIELD,
    "FieldInvalid": FIELD,
    "TooLarge": FIELD,
    "OrphanRuns": "tests/shell/test_restores.py::test_a_running_gang_without_an_owner_is_never_joined_by_a_second",
}


def test_each_reason_with_a_way_out_has_a_test():
    assert OF_STAGES.keys() == {str(reason) for reason in WAYS_OUT}
    assert OF_WRITES.keys() == {name for name, row in {**REFUSALS, **HELD}.items() if row.way_out}


@pytest.mark.parametrize("test", sorted({*OF_STAGES.values(), *OF_WRITES.values()}))
def test_the_tests_of_the_table_exist(test):
    path, name = test.split("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {found.name for found in tree.body if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)}
