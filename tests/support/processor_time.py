"""`pytest --processor-time`: the processor seconds of each test file, with all processes that its tests started and all pods.

Each worker runs in a control group, whose processor time the kernel counts; pods are in the group of their node. Needs root and Linux.
A fixture counts for the test that first uses it. What a worker imports to collect the tests has a row of its own.
"""

import os
from collections import Counter
from collections.abc import Generator
from typing import Any

import cgroups
import pytest

COLLECTION = "collection"
LEAST_SHOWN = 1.0  # seconds
OPTION = "--processor-time"


class Worker:
    """Counts where tests run."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._own = f"tunewright-tests-{os.getpid()}"
        self._groups = {self._own: 0.0}
        cgroups.enter(self._own)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        made = yield
        if fixturedef.argname == "node" and (own := getattr(made, "own", None)) is not None:  # a parameter may have this name, too
            self._groups[own.slot.name] = 0.0
        return made

    def pytest_collection_finish(self) -> None:
        self._count(COLLECTION)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        ran = yield
        self._count(item.nodeid)
        return ran

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["processor_seconds"] = dict(self.seconds)

    def pytest_unconfigure(self) -> None:
        cgroups.leave(self._own)

    def _count(self, what: str) -> None:
        for group, before in self._groups.items():
            self._groups[group] = max(before, cgroups.processor_seconds(group))  # that of a node ends with the node
            self.seconds[what] += self._groups[group] - before


class Reporter:
    """Sums up what the workers counted, and prints it."""

    def __init__(self, each: str) -> None:
        self._each = each
        self.seconds: Counter[str] = Counter()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.seconds.update(getattr(node, "workeroutput", {}).get("processor_seconds", {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        if (worker := config.pluginmanager.get_plugin("processor-time-worker")) is not None:
            self.seconds.update(worker.seconds)
        rows: Counter[str] = Counter()
        for nodeid, seconds in self.seconds.items():
            rows[nodeid if self._each == "test" else nodeid.partition("::")[0]] += seconds
        terminalreporter.section(f"processor seconds: {rows.total():.0f}")
        for name, seconds in rows.most_common():
            if seconds >= LEAST_SHOWN:
                terminalreporter.write_line(f"{seconds:7.1f}  {name}")


def register(config: pytest.Config) -> None:
    """Count, if the option is given."""
    if each := config.getoption(OPTION):
        if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
            config.pluginmanager.register(Worker(), "processor-time-worker")
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Reporter(each), "processor-time-reporter")
