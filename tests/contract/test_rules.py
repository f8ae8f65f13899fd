"""The rules between fields at the API server: its refusals, their field, and that it accepts every job that the operator accepts."""

import re
from collections import Counter
from pathlib import Path

import pytest
from api_jobs import raw_job
from hypothesis import HealthCheck, given, settings
from job_mutations import mutated_jobs
from rule_cases import CASES, IDS
from valid_jobs import FIELDS, valid_jobs, written_fields
from verdicts import CEL_SAYS_LESS, operator_verdict

from tunewright.api.rules import RULES
from tunewright.api.v1alpha1.job import parse


def cel_breaks(code, spec):
    return [rule for rule in RULES if rule.cel and rule.code == code and list(rule.find(spec))]


def says_it(case):
    """Whether the definition alone can tell that this case is broken."""
    code, _, broken, _ = case
    return code not in CEL_SAYS_LESS and bool(cel_breaks(code, parse(raw_job(broken)).spec))


SAID = [says_it(case) for case in CASES]


@pytest.mark.parametrize(
    ("code", "path", "broken"),
    [case[:3] for case, said in zip(CASES, SAID, strict=True) if said],
    ids=[name for name, said in zip(IDS, SAID, strict=True) if said],
)
def test_a_broken_rule_is_refused_and_named(server, shared_namespace, code, path, broken):
    verdict = server.create(raw_job(broken), shared_namespace)

    assert verdict.code == 422
    assert path in verdict.fields
    rules = cel_breaks(code, parse(raw_job(broken)).spec)
    assert any(f"{rule.code}: {rule.refuses}. {rule.way_out}" in verdict.message for rule in rules)


@pytest.mark.parametrize(
    "broken",
    [case[2] for case, said in zip(CASES, SAID, strict=True) if not said],
    ids=[name for name, said in zip(IDS, SAID, strict=True) if not said],
)
def test_the_operator_checks_rules_that_cel_cannot_express(broken):
    assert operator_verdict(raw_job(broken)).refuses


def test_the_adr_lists_the_rules_that_cel_does_not_check_completely():
    page = (Path(__file__).parents[2] / "docs" / "adr" / "0010-schema-cel-and-operator.md").read_text(encoding="utf-8")
    assert set(re.findall(r"E\d{3}", page)) == {rule.code for rule in RULES if not rule.cel} | CEL_SAYS_LESS


@pytest.mark.parametrize("kept", [case[3] for case in CASES], ids=IDS)
def test_a_similar_valid_job_is_accepted(server, shared_namespace, kept):
    assert server.create(raw_job(kept), shared_namespace).message == ""


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(raw=mutated_jobs())
def test_the_api_server_and_the_operator_refuse_the_same_jobs(server, shared_namespace, raw):
    by_server, by_operator = server.create(raw, shared_namespace), operator_verdict(raw)

    if by_server.accepted:
        assert not by_operator.server_must_refuse
    else:
        assert by_operator.refuses, by_server.message


def test_the_api_server_accepts_every_job_that_the_operator_accepts(server, shared_namespace):
    written = Counter()

    @settings(max_examples=100)
    @given(raw=valid_jobs())
    def both_take(raw):
        assert not operator_verdict(raw).refuses
        assert server.create(raw, shared_namespace).message == ""
        written.update(FIELDS.keys() & set(written_fields(raw["spec"])))

    both_take()
    # A strategy that finds fault with nearly everything would show nothing.
    assert len(written) > len(FIELDS) / 4
    assert len([path for path in written if path.startswith(("method.", "deepspeed."))]) > 20


@pytest.mark.parametrize(("want", "smoothing"), [(True, 0), (True, 0.49), (False, 0.5), (False, 1), (False, -1)])
def test_a_bound_with_a_fraction_holds_for_whole_numbers_too(server, shared_namespace, want, smoothing):
    verdict = server.create(raw_job({"method": {"type": "dpo", "dpo": {"labelSmoothing": smoothing}}}), shared_namespace)

    assert verdict.accepted == want, verdict.message
    assert want or verdict.fields == ("spec.method.dpo.labelSmoothing",)
