"""Half-filled and malformed objects: never an error, and never a success."""

from datetime import UTC, datetime

import pytest
from child_builders import REVISION, a_deployment, a_job, a_pod, a_service, ended
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.observe import observe
from tunewright.observe.raw import moment, number, part, parts, text
from tunewright.plan.inputs import StageState

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@st.composite
def damaged(draw):
    """A well-formed family of children of which any part was replaced by anything or dropped."""
    family = [
        a_job("checker", ("Failed", "BackoffLimitExceeded")),
        a_pod("checker", **ended(65, "not ours")),
        a_job("trainer", attempt=1),
        a_pod("trainer", attempt=1, index=0, **ended(137)),
        a_deployment(replicas=2),
        a_service(),
    ]
    child = draw(st.sampled_from(family))
    for _ in range(draw(st.integers(1, 4))):
        spot = child
        while isinstance(spot, dict) and spot:
            key = draw(st.sampled_from(sorted(spot, key=str)))
            if draw(st.booleans()) or not isinstance(spot[key], dict):
                spot[key] = draw(json_values)
                break
            spot = spot[key]
    return family


@given(damaged())
@settings(max_examples=150, deadline=None)
def test_damaged_objects_give_no_error_and_no_success(children):
    past = observe(children, revision=REVISION).past
    assert StageState.SUCCEEDED not in {past.check.state, past.train.state, past.export.state}


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (part({"a": 1}, "a"), {}),
        (parts({"a": [1, {"b": 2}]}, "a"), [{"b": 2}]),
        (parts({"a": "x"}, "a"), []),
        (text({"a": 1}, "a"), ""),
        (text(None, "a"), ""),
        (number({"a": "12"}, "a"), 12),
        (number({"a": "-1"}, "a"), None),
        (number({"a": True}, "a"), None),
        (number({"a": 3}, "a"), 3),
        (moment({"a": "2026-01-01T10:00:00Z"}, "a"), datetime(2026, 1, 1, 10, tzinfo=UTC)),
        (moment({"a": "2026-01-01T10:00:00"}, "a"), None),
        (moment({"a": "yesterday"}, "a"), None),
    ],
)
def test_missing_parts_are_empty(read, expected):
    assert read == expected
