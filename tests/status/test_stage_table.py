"""Every room handles every row of the stage table: the existing rows, and an added one."""

from typing import Literal

import pytest
from child_builders import REVISION, a_deployment, a_job, a_pod, running
from plan_builders import quickstart_plan
from plan_jobs import CLUSTER, checked, past_of
from plan_jobs import job as a_served_job
from selecting import selects
from status_builders import NOON

from tunewright.observe import Observation, observe
from tunewright.plan.explain import explain
from tunewright.plan.inputs import Defaults, Past, ServeOutcome, StageOutcome, StageState, TrainOutcome
from tunewright.plan.names import names_of
from tunewright.plan.plan import forecast, plan
from tunewright.render import render
from tunewright.status import summarise
from tunewright_contract import stages
from tunewright_contract.reports import StageReport, dump, load
from tunewright_contract.stages import CHECK, EXPORT, SERVE, TRAIN, Shape, Stage


class CompressReport(StageReport):
    """What the imaginary stage reports."""

    kind: Literal["compress"] = "compress"
    ratio: float


COMPRESS = Stage(
    name="compress",
    component="compressor",
    phase="Compressing",
    condition="Compressed",
    summary="makes the trained model smaller",
    shape=Shape.POD,
    command=("python", "-m", "tunewright_trainer", "compress"),
    report=CompressReport,
    settings="workers",
    predecessor=TRAIN,
    suspendable=True,
    keeps_output=True,
)
REAL = (CHECK, TRAIN, EXPORT, SERVE)
IMAGINARY = (CHECK, TRAIN, COMPRESS, EXPORT, SERVE)
ROWS = [*((REAL, stage) for stage in REAL), *((IMAGINARY, stage) for stage in IMAGINARY)]
each_row = pytest.mark.parametrize(
    ("table", "stage"), ROWS, indirect=["table"], ids=[f"{stage.name} of {len(table)}" for table, stage in ROWS]
)


@pytest.fixture
def table(request, monkeypatch):
    monkeypatch.setattr(stages, "STAGES", request.param)
    monkeypatch.setitem(EXPORT.__dict__, "predecessor", request.param[request.param.index(EXPORT) - 1])
    return request.param


def outcome(stage, state):
    if stage is CHECK:
        return checked() if state is StageState.SUCCEEDED else StageOutcome(state=state)
    of_shape = {Shape.GANG: TrainOutcome(state=state, attempts=1), Shape.SERVER: ServeOutcome(state=state)}
    return of_shape.get(stage.shape, StageOutcome(state=state))


def before(table, stage):
    """Every stage before this one has succeeded."""
    done = table[: table.index(stage)]
    return past_of(**{earlier.name: outcome(earlier, StageState.SUCCEEDED) for earlier in done})


def decided(so_far):
    return plan(a_served_job({"serving": {}}), CLUSTER, so_far, Defaults())


def test_the_table_is_the_real_one():
    assert stages.STAGES == REAL


@each_row
def test_a_row_is_consistent(table, stage):
    assert stage.predecessor is (table[table.index(stage) - 1] if stage is not CHECK else None)
    if stage.shape is not Shape.SERVER:
        assert stage.report.model_fields["kind"].default == stage.name
    for word in ("name", "component", "phase", "condition"):
        assert [getattr(other, word) for other in table].count(getattr(stage, word)) == 1


@each_row
def test_a_stage_is_planned_once_the_one_before_it_has_succeeded(table, stage):
    at = table.index(stage)
    assert list(decided(before(table, stage)).stages) == list(table[: at + 1])
    if at:
        assert stage not in decided(before(table, table[at - 1])).stages
    assert stage in forecast(a_served_job({"serving": {}}), CLUSTER, Defaults()).stages
    assert [name for name, _ in explain(decided(Past())).stages] == [row.name.capitalize() for row in table]


@each_row
def test_a_stage_has_a_workload_of_its_own_and_one_network_policy(table, stage):
    children = render(decided(before(table, stage))).children
    of_stage = [child for child in children if child["metadata"]["labels"]["tunewright.io/component"] == stage.component]
    (workload,) = [child for child in of_stage if child["kind"] in {"Job", "Deployment"}]
    assert workload["spec"]["template"]["spec"]["containers"][0]["command"] == list(stage.command)
    assert workload["metadata"]["name"].startswith(names_of("support-bot")[stage])
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert [selects(child["spec"]["podSelector"], labels) for child in children if child["kind"] == "NetworkPolicy"].count(True) == 1


@each_row
def test_the_children_of_a_stage_are_observed(table, stage):
    attempt = 0 if stage.shape is Shape.GANG else None
    workload = a_deployment() if stage.shape is Shape.SERVER else a_job(stage.component, attempt=attempt)
    pod = a_pod(stage.component, attempt=attempt, **running(stage.component))
    past = observe([workload, pod], revision=REVISION).past
    assert {row.name: past[row].state for row in table if past[row].state is not StageState.ABSENT} == {stage.name: StageState.RUNNING}


@each_row
@pytest.mark.parametrize(("state", "phase", "condition"), [(StageState.ABSENT, None, "Unknown"), (StageState.FAILED, "Failed", "False")])
def test_a_stage_gives_the_job_its_phase_and_a_condition(table, stage, state, phase, condition):
    at = table.index(stage)
    seen = Observation(past=past_of(before(table, stage), **{stage.name: outcome(stage, state)}))
    job = a_served_job({"serving": {}})
    status = summarise(job, quickstart_plan(), seen, serving=None, progress=None, now=NOON, previous=None)
    assert status.phase == (phase or stage.phase)
    found = {row.type: row.status for row in status.conditions}
    assert [found[row.condition] for row in table] == ["True"] * at + [condition] + ["Unknown"] * (len(table) - at - 1)


def test_the_report_of_an_added_stage_is_read():
    assert load(dump(CompressReport(ratio=0.5))) == CompressReport(ratio=0.5)
