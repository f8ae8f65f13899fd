"""From raw children to what happened, stage by stage."""

import pytest
from child_builders import REVISION, a_job, a_pod, ended, running, waiting
from status_builders import EXPORTED

from tunewright.observe import has_begun, observe
from tunewright.plan.inputs import Past, StageState
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import (
    CheckReport,
    DataFacts,
    Failure,
    ModelFacts,
    SplitFacts,
    TrainReport,
    dump,
)
from tunewright_contract.stages import CHECK, EXPORT, TRAIN

AT_REST = (("Suspended", "JobSuspended"),)
CHECKED = CheckReport(
    model=ModelFacts(
        architecture="phi3",
        parameters=1000,
        trainable_parameters=10,
        linear_parameters=900,
        largest_layer_parameters=100,
        hidden_size=8,
        layers=2,
        vocab_size=288,
        context_length=256,
    ),
    data=DataFacts(format="messages", sha256="ab" * 32, train=SplitFacts(samples=4)),
    exporter="genai",
)
TRAINED = TrainReport(step=10, max_steps=10, train_loss=1.5)
DISRUPTED = "Pod team/j-train-0-1-x7k2p has condition DisruptionTarget matching FailJob rule at index 1"


def recorded(condition, *, revision=REVISION, status="True"):
    """A stored status with one condition."""
    return {"revision": revision, "conditions": [{"type": condition, "status": status}]}


def past(*children) -> Past:
    return observe(children, revision=REVISION).past


def failure(reason, **more):
    return dump(Failure(reason=reason, message=f"{reason} happened", suggestion="do this", **more))


class TestHowFarAStageIs:
    def test_without_children_every_stage_is_absent(self):
        assert past() == Past()

    def test_a_job_without_pods_is_pending(self):
        assert past(a_job("checker")).check.state is StageState.PENDING

    def test_a_job_with_a_running_pod_is_running(self):
        assert past(a_job("checker"), a_pod("checker", **running())).check.state is StageState.RUNNING

    def test_a_complete_job_has_its_report(self):
        found = past(a_job("checker", ("Complete", "")), a_pod("checker", **ended(0, dump(CHECKED)))).check
        assert (found.state, found.report) == (StageState.SUCCEEDED, CHECKED)

    def test_a_job_is_done_when_all_its_pods_have_succeeded(self):
        found = past(a_job("checker"), a_pod("checker", **ended(0, dump(CHECKED)))).check
        assert (found.state, found.report) == (StageState.SUCCEEDED, CHECKED)
        failing = past(a_job("checker", ("FailureTarget", "DeadlineExceeded")), a_pod("checker", **ended(0, dump(CHECKED)))).check
        assert failing.state is StageState.PENDING

    @pytest.mark.parametrize(
        ("asks", "stage", "others", "status"),
        [
            pytest.param(Disposition.FAIL, "checker", [], None, id="check, never read"),
            pytest.param(None, "checker", [], recorded("Validated"), id="check, recorded"),
            pytest.param(Disposition.FAIL, "checker", [], recorded("Validated", revision="old"), id="check, recorded of another revision"),
            pytest.param(Disposition.FAIL, "checker", [], recorded("Validated", status="Unknown"), id="check, recorded as pending"),
            pytest.param(Disposition.FAIL, "checker", [], recorded("Trained"), id="check, another stage recorded"),
            pytest.param(None, "checker", [a_job("trainer", attempt=0)], None, id="check, acted on by training"),
            pytest.param(
                Disposition.FAIL, "checker", [a_job("trainer", attempt=0, revision="old")], None, id="check, training of another revision"
            ),
            pytest.param(Disposition.RETRY, "trainer", [], None, id="train, never read"),
            pytest.param(
                Disposition.RETRY, "trainer", [a_pod("trainer", attempt=0, index=1, **ended(0))], None, id="train, rank 0 is gone"
            ),
            pytest.param(
                Disposition.RETRY,
                "trainer",
                [a_pod("trainer", attempt=0, index=1, **ended(0, dump(TRAINED)))],
                None,
                id="train, another rank's report",
            ),
            pytest.param(None, "trainer", [], recorded("Trained"), id="train, recorded"),
            pytest.param(Disposition.RETRY, "trainer", [], recorded("Validated"), id="train, only check recorded"),
            pytest.param(None, "trainer", [a_job("exporter")], None, id="train, acted on by the export"),
            pytest.param(Disposition.FAIL, "exporter", [], None, id="export, never read"),
            pytest.param(None, "exporter", [], {"revision": REVISION, "artifacts": [{"uri": "pvc://c/m"}]}, id="export, recorded"),
            pytest.param(
                Disposition.FAIL, "exporter", [], {"revision": "old", "artifacts": [{"uri": "pvc://c/m"}]}, id="export, of another revision"
            ),
            pytest.param(Disposition.FAIL, "exporter", [], {"revision": REVISION, "artifacts": []}, id="export, without an artifact"),
            pytest.param(Disposition.FAIL, "exporter", [], recorded("Exported"), id="export, a condition is no artifact"),
        ],
    )
    def test_a_complete_job_whose_pod_is_gone_has_succeeded_only_if_its_report_was_read(self, asks, stage, others, status):
        """`asks`: the disposition of its failure; None if it has succeeded."""
        past = observe([a_job(stage, ("Complete", ""), attempt=0), *others], revision=REVISION, status=status).past
        found = {"checker": past.check, "trainer": past.train, "exporter": past.export}[stage]
        assert (found.state, found.report) == (StageState.FAILED if asks else StageState.SUCCEEDED, None)
        assert found.disposition == asks
        assert (found.failure.reason if found.failure else "") == ("ReportMissing" if asks else "")

    @pytest.mark.parametrize(
        ("reason", "part", "message"),
        [
            ("ReportMissing", "without a report", ""),
            ("ReportMissing", "without a report", "Done. Bye.\n"),
            ("ReportInvalid", "kind: 'check': this stage reports 'export'", dump(CHECKED)),
            ("ReportInvalid", "it reports the failure DiskFull: DiskFull happened", failure("DiskFull")),
            ("ReportInvalid", "artifacts: list: ", '{"kind": "export", "artifacts": []}'),
            ("ReportInvalid", "it is not JSON", "{"),
            ("ReportInvalid", "'Complete': this reason is reserved for the operator", failure("Complete")),
        ],
    )
    @pytest.mark.parametrize("conditions", [(), (("Complete", ""),)])
    def test_exit_code_0_without_the_stages_own_report_is_a_failure(self, reason, part, message, conditions):
        seen = observe([a_job("exporter", *conditions), a_pod("exporter", **ended(0, message))], revision=REVISION)
        found = seen.past.export
        assert (found.state, found.failure.reason, found.disposition) == (StageState.FAILED, reason, Disposition.FAIL)
        assert part in found.failure.message
        assert seen.failed_pods[EXPORT].name == "exporter-0"

    def test_a_job_that_is_complete_before_its_pod_is_seen_to_end_still_runs(self):
        found = past(a_job("exporter", ("Complete", "")), a_pod("exporter", **running("exporter"))).export
        assert (found.state, found.failure) == (StageState.RUNNING, None)

    def test_a_report_from_export_is_read(self):
        assert past(a_job("exporter", ("Complete", "")), a_pod("exporter", **ended(0, dump(EXPORTED)))).export.report == EXPORTED

    @pytest.mark.parametrize(
        ("state", "leaving", "conditions", "pods", "counts"),
        [
            pytest.param(StageState.PENDING, False, (), (), {}, id="the Job controller has yet to see it"),
            pytest.param(StageState.SUSPENDED, False, AT_REST, (), {}, id="nobody is there"),
            pytest.param(
                StageState.RUNNING, True, (), (running(),), {"active": 1}, id="it saves, and the Job controller has yet to see it"
            ),
            pytest.param(StageState.RUNNING, True, AT_REST, (running(),), {}, id="it saves"),
            pytest.param(StageState.PENDING, True, AT_REST, (), {"terminating": 2}, id="pods end that we do not see"),
            pytest.param(StageState.PENDING, True, AT_REST, ({},), {}, id="one that has not begun is a pod, too"),
            pytest.param(StageState.SUSPENDED, False, AT_REST, (ended(143),), {}, id="what has ended holds nothing"),
            pytest.param(StageState.RUNNING, True, AT_REST, (ended(143), running()), {}, id="one has saved, another has not"),
        ],
    )
    def test_a_suspended_job_is_suspended_once_its_pods_are_gone(self, state, leaving, conditions, pods, counts):
        job = a_job("trainer", *conditions, attempt=0, suspend=True, status=counts)
        found = observe([job, *(a_pod("trainer", attempt=0, index=at, **pod) for at, pod in enumerate(pods))], revision=REVISION)
        assert (found.past.train.state, found.leaving) == (state, {TRAIN} if leaving else set())

    @pytest.mark.parametrize("stage", [CHECK, EXPORT])
    def test_a_suspended_job_with_pods_is_leaving(self, stage):
        component = stage.component
        found = observe([a_job(component, suspend=True), a_pod(component, **running(component))], revision=REVISION)
        assert found.leaving == {stage}
        assert observe([a_job(component), a_pod(component, **running(component))], revision=REVISION).leaving == set()

    @pytest.mark.parametrize(
        ("begun", "children"),
        [
            (False, []),
            (False, [a_job("checker"), a_pod("checker")]),
            (True, [a_job("trainer", attempt=0)]),
            (True, [a_job("exporter"), a_job("trainer", ("Failed", ""), attempt=3, revision="old")]),
        ],
    )
    def test_a_job_has_begun_with_its_first_train_job(self, begun, children):
        assert has_begun(children) is begun

    def test_children_of_another_revision_are_ignored(self):
        old = [a_job("checker", ("Complete", ""), revision="old"), a_pod("checker", revision="old", **ended(0, dump(CHECKED)))]
        assert past(*old) == Past(made_from="old")

    def test_a_failed_pod_explains_a_pending_retry(self):
        found = past(a_job("checker"), a_pod("checker", **ended(75, failure("HubUnreachable")))).check
        assert (found.state, found.failure.reason, found.disposition) == (StageState.PENDING, "HubUnreachable", None)

    def test_an_earlier_failure_is_dropped_while_a_retry_runs(self):
        found = past(a_job("checker"), a_pod("checker", **ended(75, failure("HubUnreachable"))), a_pod("checker", **running())).check
        assert (found.state, found.failure) == (StageState.RUNNING, None)

    def test_the_last_of_several_retries_has_the_failure(self):
        first = a_pod("checker", index=0, **ended(75, failure("HubUnreachable"), at="2026-01-01T10:00:00Z"))
        last = a_pod("checker", index=1, **ended(65, failure("DataInvalid"), at="2026-01-01T10:05:00Z"))
        found = past(a_job("checker", ("Failed", "PodFailurePolicy")), last, first).check
        assert (found.state, found.failure.reason, found.disposition) == (StageState.FAILED, "DataInvalid", Disposition.FAIL)


class TestTheGang:
    def gang(self, *statuses, attempt=0, condition=("Failed", "BackoffLimitExceeded")):
        pods = [a_pod("trainer", attempt=attempt, index=index, **status) for index, status in enumerate(statuses)]
        return [a_job("trainer", condition, attempt=attempt), *pods]

    def failed_pod(self, *statuses):
        seen = observe(self.gang(*statuses), revision=REVISION)
        return seen.past.train.failure.reason, seen.failed_pods[TRAIN].index, seen.past.train.disposition

    def test_a_gang_is_done_when_every_rank_is(self):
        def state_of(*indices):
            job = a_job("trainer", attempt=0)
            job["spec"]["completions"] = 2
            pods = [a_pod("trainer", attempt=0, index=index, **ended(0, dump(TRAINED))) for index in indices]
            return past(job, *pods).train.state

        assert state_of(0, 1) is StageState.SUCCEEDED
        assert state_of(0) is StageState.PENDING
        assert state_of(1, 1) is StageState.PENDING

    def test_a_report_of_another_rank_does_not_replace_rank_zeros(self):
        found = past(*self.gang(ended(0), ended(0, dump(TRAINED)), condition=("Complete", ""))).train
        assert (found.state, found.failure.reason) == (StageState.FAILED, "ReportMissing")

    def test_the_report_is_rank_zeros(self):
        other = TRAINED.model_copy(update={"step": 9})
        found = past(*self.gang(ended(0, dump(TRAINED)), ended(0, dump(other)), condition=("Complete", ""))).train
        assert (found.state, found.report) == (StageState.SUCCEEDED, TRAINED)

    def test_a_failure_with_a_cause_has_priority_over_an_earlier_lost_peer(self):
        lost = ended(75, failure("PeerLost"), at="2026-01-01T10:00:01Z")
        cause = ended(65, failure("DataInvalid"), at="2026-01-01T10:00:09Z")
        assert self.failed_pod(lost, cause) == ("DataInvalid", 1, Disposition.FAIL)

    def test_the_first_pod_to_fail_is_the_failed_pod(self):
        late = ended(75, failure("DiskFull"), at="2026-01-01T10:00:09Z")
        early = ended(75, failure("HubUnreachable"), at="2026-01-01T10:00:01Z")
        assert self.failed_pod(late, early) == ("HubUnreachable", 1, Disposition.RETRY)

    def test_a_pod_that_was_killed_for_its_memory_is_the_failed_pod(self):
        lost = ended(75, failure("PeerLost"))
        assert self.failed_pod(lost, ended(137, reason="OOMKilled")) == ("OutOfMemory", 1, Disposition.RETRY)

    def test_a_drained_node_costs_no_attempt(self):
        disrupted = ended(143, failure("Stopped")) | {
            "conditions": [
                {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
            ]
        }
        children = self.gang(ended(75, failure("PeerLost")), disrupted)
        assert self.failed_pod(ended(75, failure("PeerLost")), disrupted) == ("Disrupted", 1, Disposition.RESUME)
        assert past(*children).train.counted_failures == 0

    @pytest.mark.parametrize("echo", [ended(75, failure("PeerLost")), ended(143, failure("Stopped"))])
    def test_an_eviction_costs_no_attempt_when_the_evicted_pod_is_gone(self, echo):
        gang = [
            a_job("trainer", ("Failed", "PodFailurePolicy"), attempt=0, message=DISRUPTED),
            a_pod("trainer", attempt=0, index=0, **echo),
        ]
        found = past(*gang).train
        assert (found.failure.reason, found.disposition, found.counted_failures) == ("Disrupted", Disposition.RESUME, 0)

    def test_a_gang_that_stopped_after_saving_costs_no_attempt(self):
        found = past(*self.gang(ended(143, failure("Stopped")), ended(143, failure("Stopped")))).train
        assert (found.failure.reason, found.disposition, found.counted_failures) == ("Stopped", Disposition.RESUME, 0)

    def test_a_permanent_failure_of_a_disrupted_pod_stays_permanent(self):
        disrupted = ended(65, failure("DataInvalid")) | {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}
        assert self.failed_pod(disrupted) == ("DataInvalid", 0, Disposition.FAIL)

    def test_attempts_are_counted_from_their_jobs(self):
        failed = [self.gang(ended(75, failure("DiskFull")), attempt=attempt) for attempt in (0, 1)]
        found = past(*failed[0], *failed[1], a_job("trainer", attempt=2)).train
        assert (found.attempts, found.counted_failures, found.state, found.failure) == (3, 2, StageState.PENDING, None)
        assert found.before.reason == "DiskFull"

    def test_the_number_of_a_deleted_attempt_is_not_reused(self):
        assert past(a_job("trainer", attempt=2)).train.attempts == 3

    def test_an_attempt_without_a_number_is_the_first(self):
        job = a_job("trainer", attempt=0)
        del job["metadata"]["labels"]["tunewright.io/attempt"]
        assert past(job).train.attempts == 1

    def test_a_failing_gang_has_its_reason_before_its_end(self):
        going = [a_job("trainer", ("FailureTarget", "PodFailurePolicy"), attempt=0)]
        pods = [
            a_pod("trainer", attempt=0, index=0, **running()),
            a_pod("trainer", attempt=0, index=1, **ended(65, failure("DataInvalid"))),
        ]
        found = past(*going, *pods).train
        assert (found.state, found.failure.reason, found.disposition) == (StageState.RUNNING, "DataInvalid", None)

    @pytest.mark.parametrize(
        ("reason", "message", "named"),
        [
            ("PodFailurePolicy", "Pod lost-0-1 has condition DisruptionTarget matching FailJob rule at index 1", "Disrupted"),
            ("PodFailurePolicy", "Container trainer for pod lost-0-1 failed with exit code 65 matching FailJob rule at index 0", None),
            ("DeadlineExceeded", "Job was active longer than specified deadline", None),
        ],
    )
    def test_a_gang_that_ends_because_a_node_is_gone_has_that_reason_while_its_other_pods_end(self, reason, message, named):
        going = a_job("trainer", attempt=0)
        going["status"] = {"conditions": [{"type": "FailureTarget", "status": "True", "reason": reason, "message": message}]}
        found = past(going, a_pod("trainer", attempt=0, index=0, **running())).train
        assert (found.state, found.failure and found.failure.reason) == (StageState.RUNNING, named)
        assert named is None or found.failure.message == f"{message}; the other pods are being stopped"

    def test_an_unschedulable_rank_is_named_while_others_run(self):
        unschedulable = {
            "phase": "Pending",
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: insufficient gpu"}
            ],
        }
        found = past(
            a_job("trainer", attempt=0),
            a_pod("trainer", attempt=0, index=0, **running()),
            a_pod("trainer", attempt=0, index=1, **unschedulable),
        ).train
        assert (found.state, found.failure.reason) == (StageState.RUNNING, "Unschedulable")
        assert "insufficient gpu" in found.failure.message


class TestAJobThatFailedWithoutWitnesses:
    def failed(self, reason, message=""):
        return past(a_job("trainer", ("Failed", reason), attempt=0, message=message)).train

    def test_a_deadline_is_permanent_and_hides_the_stopped_pods_failures(self):
        pod = a_pod("trainer", attempt=0, index=0, **ended(143, failure("Stopped")))
        found = past(a_job("trainer", ("Failed", "DeadlineExceeded"), attempt=0), pod).train
        assert (found.failure.reason, found.disposition) == ("DeadlineExceeded", Disposition.FAIL)

    def test_a_policy_for_an_exit_code_is_permanent(self):
        found = self.failed("PodFailurePolicy", "Container trainer failed with exit code 65 matching FailJob rule at index 0")
        assert (found.failure.reason, found.disposition) == ("JobFailed", Disposition.FAIL)
        assert "exit code 65" in found.failure.message

    def test_a_policy_for_a_disruption_is_resumed(self):
        found = self.failed("PodFailurePolicy", DISRUPTED)
        assert (found.failure.reason, found.failure.message, found.disposition) == ("Disrupted", DISRUPTED, Disposition.RESUME)

    def test_other_failures_are_retried(self):
        assert self.failed("Other").disposition is Disposition.RETRY
        assert self.failed("").failure.message == "its pods are gone, for an unknown reason"


def test_a_pod_that_waits_for_its_image_has_that_reason():
    found = past(a_job("trainer", attempt=0), a_pod("trainer", attempt=0, index=0, **waiting("ErrImagePull", "not found"))).train
    assert (found.state, found.failure.reason, found.failure.rank) == (StageState.PENDING, "ImagePullBackOff", 0)
