"""Which revision of the servers runs: the wanted one, or the last good one. And that the choice, once made, is made again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.plan.rollout import Choice, Refusal, Rollout, ServingRevision, Terms, choose
from tunewright_contract.reports import Failure

WHY = Failure(reason="SmokeTestFailed", message="asked 'Hi', the model answered nothing")
A, B, C = (ServingRevision(name=name, template={"spec": {"image": name}}) for name in "ABC")
TERMS, RETRIED, LONGER = (Terms(retry=retry, progress_deadline_seconds=seconds) for retry, seconds in (("", 900), ("1", 900), ("", 1800)))
NO_B = Refusal(revision="B", failure=WHY, terms=TERMS)
NOT_SEEN = {"current": False}


def rollout(live: ServingRevision | None, **more) -> Rollout:
    return Rollout(live=live, **{"current": True} | more)


@pytest.mark.parametrize(
    ("expected", "wanted", "found"),
    [
        pytest.param(Choice(run=A), A, rollout(None), id="nothing runs yet"),
        pytest.param(Choice(run=A), A, rollout(A), id="it starts"),
        pytest.param(Choice(run=A), A, rollout(A, completed=True), id="it serves"),
        pytest.param(Choice(run=A), A, rollout(A, failure=WHY), id="the first one fails: there is nothing to go back to"),
        pytest.param(Choice(run=B, previous=A), B, rollout(A, completed=True), id="something else is asked for: the good one is kept"),
        pytest.param(Choice(run=B), B, rollout(A), id="before anything was good"),
        pytest.param(Choice(run=B), B, rollout(A, failure=WHY), id="instead of one that fails"),
        pytest.param(Choice(run=A), B, rollout(A, **NOT_SEEN), id="a moment's patience: whether A is good is not known"),
        pytest.param(Choice(run=B, previous=A), B, rollout(B, previous=A), id="it is rolled out"),
        pytest.param(Choice(run=B, previous=A), B, rollout(B, previous=A, completed=True), id="it serves; the one before is still kept"),
        pytest.param(Choice(run=A, previous=A, refused=NO_B), B, rollout(B, previous=A, failure=WHY), id="it fails: back"),
        pytest.param(Choice(run=A, previous=A, refused=NO_B), B, rollout(A, previous=A, refused=NO_B), id="going back"),
        pytest.param(
            Choice(run=A, previous=A, refused=NO_B), B, rollout(A, previous=A, refused=NO_B, completed=True), id="gone back, and staying"
        ),
        pytest.param(
            Choice(run=A, previous=A, refused=NO_B), B, rollout(A, previous=A, refused=NO_B, failure=WHY), id="even when that fails, too"
        ),
        pytest.param(
            Choice(run=A, previous=A, refused=NO_B), B, rollout(A, previous=A, refused=NO_B, **NOT_SEEN), id="also before it was seen"
        ),
        pytest.param(
            Choice(run=C, previous=A), C, rollout(A, previous=A, refused=NO_B, completed=True), id="something new is tried; B is forgotten"
        ),
        pytest.param(Choice(run=A, previous=A), A, rollout(A, previous=A, refused=NO_B), id="asking for what runs takes the refusal away"),
        pytest.param(Choice(run=B, previous=A), B, rollout(A, previous=A, completed=True), id="a refusal taken off by hand: tried again"),
        pytest.param(Choice(run=C, previous=A), C, rollout(B, previous=A), id="another one before B was good: A is kept"),
        pytest.param(Choice(run=C, previous=A), C, rollout(B, previous=A, failure=WHY), id="another one instead of waiting for B's end"),
        pytest.param(Choice(run=C, previous=B), C, rollout(B, previous=A, completed=True), id="the newest good one is kept"),
        pytest.param(Choice(run=B, previous=A), C, rollout(B, previous=A, **NOT_SEEN), id="B may be good by now: first look"),
        pytest.param(Choice(run=A, previous=A), A, rollout(B, previous=A, failure=WHY), id="asking for the good one again"),
        pytest.param(Choice(run=A, previous=A), A, rollout(A, previous=A, failure=WHY), id="the good one fails when asked for again"),
        pytest.param(None, None, rollout(None), id="what is asked for is not there, and nothing runs"),
        pytest.param(Choice(run=A), None, rollout(A, completed=True), id="what is asked for is not there: what runs goes on"),
        pytest.param(Choice(run=B, previous=A), None, rollout(B, previous=A, failure=WHY), id="even when it fails: nothing was decided"),
        pytest.param(Choice(run=A, previous=A, refused=NO_B), None, rollout(A, previous=A, refused=NO_B), id="a refusal is remembered"),
    ],
)
def test_the_revision_to_run(expected: Choice | None, wanted: ServingRevision | None, found: Rollout):
    assert choose(wanted, found, TERMS) == expected


@pytest.mark.parametrize(
    ("expected", "terms", "refused"),
    [
        pytest.param(Choice(run=B, previous=A), RETRIED, NO_B, id="the job requests a retry"),
        pytest.param(Choice(run=B, previous=A), LONGER, NO_B, id="its deadline is longer"),
        pytest.param(Choice(run=B, previous=A), TERMS, Refusal(revision="B", failure=WHY), id="an earlier release recorded no terms"),
    ],
)
def test_a_revision_that_was_rolled_back_is_tried_again_under_other_terms(expected: Choice, terms: Terms, refused: Refusal):
    found = rollout(A, previous=A, refused=refused, completed=True)
    assert choose(B, found, terms) == expected
    again = rollout(B, previous=A, failure=WHY)
    assert choose(B, again, terms).refused == Refusal(revision="B", failure=WHY, terms=terms), "it can be rolled back again"


def after(choice: Choice, found: Rollout) -> Rollout:
    """Return the Deployment's state after a choice was applied and observed."""
    if found.live is not None and choice.run.name == found.live.name:
        return replace(found, previous=choice.previous, refused=choice.refused)
    return Rollout(live=choice.run, current=True, previous=choice.previous, refused=choice.refused)


revisions = st.sampled_from([A, B, C])
rollouts = st.builds(
    Rollout,
    live=revisions,
    current=st.booleans(),
    completed=st.booleans(),
    failure=st.none() | st.just(WHY),
    previous=st.none() | revisions,
    refused=st.none() | st.builds(Refusal, revision=st.sampled_from("ABC"), failure=st.just(WHY), terms=st.sampled_from([TERMS, RETRIED])),
)


@given(revisions, rollouts)
def test_a_choice_is_stable_after_it_is_applied(wanted: ServingRevision, found: Rollout):
    found = after(choose(wanted, found, TERMS), found)
    first = choose(wanted, replace(found, current=True), TERMS)
    second = after(first, replace(found, current=True))
    assert choose(wanted, second, TERMS) == first


@given(revisions, rollouts)
def test_the_revision_is_the_requested_the_previous_or_the_live_one(wanted: ServingRevision, found: Rollout):
    choice = choose(wanted, found, TERMS)
    assert choice.run in (wanted, found.previous, found.live)
    assert choice.refused is None or choice.run != wanted or not found.current
    kept = (found.previous, found.live if found.completed else None)
    assert choice.previous in (*kept, None)
    assert choice.previous is not None or found.previous is None  # what is good is never forgotten
