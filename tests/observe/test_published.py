"""What another job has published, read from itself and its children."""

import pytest
from child_builders import a_job
from plan_jobs import job, raw_job

from tunewright.observe.observation import read_published
from tunewright.plan.inputs import Missing
from tunewright.plan.names import revision_of
from tunewright.plan.rollout import PublishedModel

SHELF = {"output": {"destinations": [{"pvc": {"claimName": "shelf", "path": "bots/"}}]}}
GIVEN = {"output": {"storage": {"claimName": "mine"}}}


def exporter(spec, *conditions):
    return a_job("exporter", *conditions, revision=revision_of(job(spec)))


@pytest.mark.parametrize(
    ("claim", "path", "spec"),
    [("support-bot-output", "models", {}), ("mine", "models", GIVEN), ("shelf", "bots", SHELF)],
    ids=["the claim that was made", "a given claim", "a destination"],
)
def test_a_model_is_found_where_its_job_published_it(claim, path, spec):
    recorded = {"status": {"revision": revision_of(job(spec)), "artifacts": [{"uri": "pvc://a/b"}]}}
    found = read_published("support-bot", raw_job(spec) | recorded, [exporter(spec, ("Complete", ""))])
    assert found == PublishedModel(job="support-bot", revision=revision_of(job(spec)), claim=claim, path=path)


@pytest.mark.parametrize(
    ("expected", "raw", "children"),
    [
        pytest.param("there is no such job", None, [], id="no job"),
        pytest.param("there is no such job", raw_job(deletionTimestamp="now"), [exporter({}, ("Complete", ""))], id="being deleted"),
        pytest.param("it is invalid", raw_job({"task": "Poetry"}), [], id="invalid"),
        pytest.param("has not exported its model yet", raw_job(), [], id="new"),
        pytest.param("has not exported its model yet", raw_job(), [exporter({})], id="exporting"),
        pytest.param("has not exported its model yet", raw_job(), [exporter({}, ("Failed", ""))], id="failed"),
        pytest.param("has not exported its model yet", raw_job(), [exporter({}, ("Complete", ""))], id="no report"),
        pytest.param(
            "has not exported its model yet", raw_job(), [exporter(GIVEN | {"task": "TextGeneration"}, ("Complete", ""))], id="other inputs"
        ),
    ],
)
def test_reasons_for_a_missing_model(expected, raw, children):
    found = read_published("support-bot", raw, children)
    assert isinstance(found, Missing)
    assert (found.field, found.kind, found.name) == ("spec.serving.modelRef.name", "FineTuneJob", "support-bot")
    assert expected in found.message


@pytest.mark.parametrize(("allowed", "kind"), [(False, Missing), (True, PublishedModel)])
def test_a_regressed_model_replaces_another_ones_only_if_its_job_allows_it(allowed, kind):
    spec = {"evaluation": {"allowRegression": allowed}}
    scores = {which: {"loss": loss, "tokenAccuracy": "0.1", "samples": 30} for which, loss in (("base", "2.99"), ("tuned", "19820"))}
    recorded = {"status": {"revision": revision_of(job(spec)), "artifacts": [{"uri": "pvc://a/b"}], "evaluation": scores}}
    found = read_published("support-bot", raw_job(spec) | recorded, [exporter(spec, ("Complete", ""))])
    assert isinstance(found, kind)
    if isinstance(found, Missing):
        assert "19820" in found.message
        assert "allowRegression" in found.message
