"""Where the program that enforces NetworkPolicies comes from."""

import pytest
from binaries import NoProgramsError
from enforcement import build_policies, find_policies

FAKE_GO = """#!/bin/sh
[ "$CGO_ENABLED $1" = "0 build" ] || exit 1
while [ "$1" != -o ]; do shift; done
echo built > "$2"
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with an empty cache and nothing on PATH but what a test puts there."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_go_the_message_names_the_command_that_builds_it(bare):
    for program in find_policies, build_policies:
        with pytest.raises(NoProgramsError, match="policies` brings"):
            program()


def test_it_is_built_once_into_the_cache(bare):
    (bare / "go").write_text(FAKE_GO)
    (bare / "go").chmod(0o755)
    built = build_policies()
    (bare / "go").unlink()

    assert built.read_text() == "built\n"
    assert build_policies() == find_policies() == built
    assert list(built.parent.iterdir()) == [built]


def test_a_named_folder_has_priority(bare, monkeypatch):
    (bare / "policies").write_text("")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(bare))

    assert find_policies() == bare / "policies"
