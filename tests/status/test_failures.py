"""Every reason that observe finds has a way out."""

import pytest

from tunewright.observe.reasons import WAITING, FailureReason
from tunewright.status.failures import WAYS_OUT, suggestion
from tunewright_contract.reports import Failure


@pytest.mark.parametrize("reason", list(FailureReason))
def test_a_reason_has_a_way_out_in_one_sentence(reason):
    assert suggestion(Failure(reason=reason.value, message="x")) == WAYS_OUT[reason]
    assert WAYS_OUT[reason].endswith(".")


@pytest.mark.parametrize("reason", sorted(set(WAITING.values())))
def test_waiting_reasons_are_in_the_table(reason):
    assert reason in WAYS_OUT


def test_a_failures_own_suggestion_has_priority():
    assert suggestion(Failure(reason="OutOfMemory", message="x", suggestion="Use ZeRO-3.")) == "Use ZeRO-3."
