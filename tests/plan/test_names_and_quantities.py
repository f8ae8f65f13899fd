"""Names that Kubernetes accepts and that cannot collide; quantities there and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.plan.names import NAME_LIMIT, attempt_name, child_name, label_value, names_of, volume_name
from tunewright_contract.quantities import people_bytes, quantity_of_bytes, whole
from tunewright_contract.stages import STAGES, TRAIN

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, what a Service needs
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
JOB_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}", fullmatch=True)
ROLES = ("config", "output", *(stage.name for stage in STAGES))


def all_of(names):
    return [names.config, names.output, *names.stages.values()]


def test_a_valid_name_is_not_changed():
    names = names_of("support-bot")
    assert all_of(names) == [f"support-bot-{role}" for role in ROLES]
    assert attempt_name(names[TRAIN], 3) == "support-bot-train-3"


@pytest.mark.parametrize(
    ("job", "readable"),
    [("a" * 60, "a" * 37), ("team.bot", "team-bot"), ("7b-bot", "ftj-7b-bot")],
    ids=["too long", "a dot", "a leading digit"],
)
def test_an_invalid_name_is_shortened_and_gets_a_hash(job, readable):
    assert re.fullmatch(rf"{readable}-[0-9a-f]{{8}}-serve", child_name(job, "serve"))


@given(job=JOB_NAMES, attempt=st.integers(0, 999))
def test_every_child_has_a_dns_label_with_room_for_the_pods_suffix(job, attempt):
    names = names_of(job)
    for name in (*all_of(names), attempt_name(names[TRAIN], attempt)):
        assert DNS_LABEL.fullmatch(name), name
        assert len(name) <= NAME_LIMIT


@given(jobs=st.lists(JOB_NAMES, min_size=2, max_size=2, unique=True))
def test_two_jobs_never_share_a_name(jobs):
    first, second = (names_of(job) for job in jobs)
    assert not {*all_of(first)} & {*all_of(second)}


def test_jobs_that_differ_only_by_a_dot_do_not_share_a_name():
    assert len({child_name(job, "serve") for job in ("a.b", "a-b", "a.b.", "a--b")}) == 4


@given(st.text(max_size=120))
def test_any_text_becomes_a_label_value(text):
    value = label_value(text)
    assert LABEL_VALUE.fullmatch(value)
    assert len(value) <= 63
    assert value == label_value(text)


def test_a_valid_label_value_is_kept():
    assert label_value("support-bot_1.0") == "support-bot_1.0"
    assert label_value("") == ""


@given(st.text(max_size=80))
def test_any_folder_becomes_a_volume_name(folder):
    name = volume_name(folder)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 30


def test_volumes_of_similar_folders_have_different_names():
    assert volume_name("corpora:chat") != volume_name("corpora:other/chat")
    assert volume_name("corpora:data/chat").startswith("chat-")


@pytest.mark.parametrize(
    ("quantity", "units"), [("4Gi", 4 * 2**30), ("1500m", 2), ("2", 2), ("1e3", 1000), ("0.5Gi", 2**29), ("80G", 80 * 10**9), ("1m", 1)]
)
def test_a_quantity_in_whole_units(quantity, units):
    assert whole(quantity) == units


@pytest.mark.parametrize(("size", "quantity"), [(4 * 2**30, "4Gi"), (1536 * 2**20, "1536Mi"), (1000, "1000"), (0, "0")])
def test_bytes_as_a_quantity(size, quantity):
    assert quantity_of_bytes(size) == quantity


@given(st.integers(0, 2**70))
def test_a_written_quantity_has_the_same_value(size):
    assert whole(quantity_of_bytes(size)) == size


@pytest.mark.parametrize(
    ("size", "text"), [(65_498_251_264, "61.0 GiB"), (2**30, "1.00 GiB"), (500 * 2**20, "500 MiB"), (12, "12 B"), (-(2**31), "-2.00 GiB")]
)
def test_bytes_for_people(size, text):
    assert people_bytes(size) == text
