"""Dry-run creates: which answers are remembered, and for how long."""

import pytest

from tunewright_runtime.errors import Forbidden, Rejected, Transient
from tunewright_runtime.lookups import Trials

POD = {"kind": "Pod", "metadata": {"namespace": "demo", "name": "x"}, "spec": {}}


class Client:
    def __init__(self, answer):
        self.answer, self.asked = answer, 0

    async def create(self, kind, namespace, body, *, dry_run):
        assert (kind, namespace, dry_run) == ("Pod", "demo", True)
        self.asked += 1
        if self.answer:
            raise self.answer


@pytest.mark.parametrize(
    ("refusal", "asked", "answer"),
    [
        ("", [1, 1, 1, 2], None),
        ("no", [1, 1, 2, 3], Rejected("no", reason="RefusedByPolicy")),
        ("", [1, 1, 1, 2], Forbidden("no right")),
        ("", [1, 2, 3, 4], Transient("busy")),
    ],
)
async def test_an_answer_is_remembered_for_its_time(refusal, asked, answer):
    now, client = [0.0], Client(answer)
    trials, counts = Trials(client, clock=lambda: now[0]), []
    for now[0] in (0.0, 30.0, 60.0, 4000.0):
        assert await trials.refusal(POD) == refusal
        counts.append(client.asked)
    assert counts == asked


async def test_a_changed_object_is_tried_again():
    client = Client(None)
    trials = Trials(client, clock=lambda: 0.0)
    for memory in ("1Gi", "2Gi", "1Gi"):
        await trials.refusal(POD | {"spec": {"memory": memory}})
    assert client.asked == 2
