"""Rows of a lane stay neighbours, and what a row holds follows its answer."""

from hypothesis import given
from hypothesis import strategies as st

from tunewright_server.engine.lane import Lane

SLOTS = 8
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["admit", "read", "finish", "give up reading"]), st.integers(0, SLOTS), st.booleans()), max_size=60
)


class Answer:
    """Stands for an answer: a lane only tells them apart."""


@given(actions=ACTIONS)
def test_two_lanes_share_the_rows_without_holes_or_mixing(actions: list[tuple[str, int, bool]]) -> None:
    lanes = [Lane(slots=SLOTS), Lane(slots=SLOTS, downwards=True)]
    rows: dict[int, Answer] = {}  # what was written where

    def move(source: int, target: int) -> None:
        rows[target] = rows[source]

    for action, which, downwards in actions:
        lane = lanes[downwards]
        if action == "admit" and lane.filling is None and sum(map(len, lanes)) < SLOTS:
            lane.filling = Answer()
            rows[lane.filling_row] = lane.filling
        elif action == "read":
            lane.filled()
        elif action == "finish" and lane.answers:
            lane.remove(lane.answers[which % len(lane.answers)], move)
        elif action == "give up reading" and lane.filling:
            lane.remove(lane.filling, move)

        for each in lanes:
            first, ordered = each.in_row_order()
            assert [rows[first + offset] for offset in range(len(ordered))] == ordered
            if each.filling:
                assert rows[each.filling_row] is each.filling
        upwards, downwards_lane = lanes
        assert len(upwards) + len(downwards_lane) <= SLOTS
        assert downwards_lane.in_row_order()[0] == SLOTS - len(downwards_lane.answers)
