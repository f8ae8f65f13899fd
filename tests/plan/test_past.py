"""Facts about the past of a job."""

import pytest

from tunewright.plan.inputs import Past, ServeOutcome, StageOutcome, StageState, TrainOutcome
from tunewright_contract.stages import CHECK, SERVE, TRAIN


@pytest.mark.parametrize(
    ("runs", "outcomes"),
    [
        pytest.param(False, {}, id="nothing has begun"),
        pytest.param(False, {CHECK: StageOutcome(state=StageState.SUCCEEDED), TRAIN: TrainOutcome(state=StageState.PENDING)}, id="a gang waits"),
        pytest.param(True, {CHECK: StageOutcome(state=StageState.SUCCEEDED), TRAIN: TrainOutcome(state=StageState.RUNNING)}, id="a gang runs"),
        pytest.param(False, {SERVE: ServeOutcome(state=StageState.FAILED)}, id="no server is ready"),
        pytest.param(True, {SERVE: ServeOutcome(state=StageState.FAILED, ready_replicas=1)}, id="the earlier server is ready"),
    ],
)  # fmt: skip
def test_pods_run_while_a_stage_runs_or_a_server_is_ready(runs, outcomes):
    assert Past(outcomes=outcomes).runs is runs
