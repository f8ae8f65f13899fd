"""The API server refuses requests, is killed and restarts, its etcd stops, watches break: the operator's process waits and continues.
It is the one that the chart runs: it holds a Lease, cannot renew it in an outage, and writes nothing until it can.

On a control plane of its own, since its programs are stopped. How patient the watches are is in test_kopf_pitfalls.py, which needs no
minutes for it; TUNEWRIGHT_OUTAGE_SECONDS (none by default) makes these outages as much longer as one likes.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from api_server import ApiServer
from binaries import NoProgramsError, find
from control_plane import ControlPlane
from levels import lacking
from life import have_ended, live, made, settle
from operator_nursery import Elected
from scene import JOB, install_definition
from status_builders import CHECKED
from waiting import until

LONGER = float(os.environ.get("TUNEWRIGHT_OUTAGE_SECONDS", "0"))
TRIES = 4  # of each watch
WATCHES = 10  # at least as many are open
STANDING = ("bot", "gang")  # jobs for which nothing is to be done


@pytest.fixture(scope="module")
def own_plane() -> Iterator[Any]:
    try:
        programs = find()
    except NoProgramsError as reason:
        lacking(str(reason))
    with ControlPlane(programs) as plane:
        api = ApiServer(plane.kubeconfig)
        install_definition(api)
        yield SimpleNamespace(plane=plane, api=api, kubeconfig=plane.kubeconfig, audit=plane.audit)


class Mistrustful(Elected):
    """An operator that checks its watches within seconds rather than minutes."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_RESYNC_SECONDS": "2", "TUNEWRIGHT_WATCH_SILENCE_SECONDS": "5"}


@pytest.fixture(scope="module")
def running(own_plane: Any, open_mortal: Any) -> Iterator[Any]:
    """An operator, a gang in training and a job that is served, for all outages."""
    with open_mortal(own_plane, kind=Mistrustful) as life:
        live(life.scene)
        until(lambda: have_ended(life.scene), "its Jobs have ended")
        life.scene.create_job("gang")
        life.scene.kubelet.end("checker", CHECKED)
        life.scene.kubelet.wait_for("trainer", 2)
        life.scene.reaches("Training", "gang")
        settle(life.scene)
        yield life


@pytest.fixture
def life(running: Any) -> Iterator[Any]:
    """The gang and the process are afterwards what they were before, and nothing was written for what had nothing to be done."""
    before = identities(running.scene)
    assert len(before) == 2
    written = len(running.proxy.written)
    yield running
    running.proxy.relent()
    running.scene.create_job("afterwards")
    running.scene.reaches("Checking", "afterwards")
    for name in running.scene.names(*JOB):
        if name not in STANDING:
            running.scene.api.delete(*JOB, name, running.scene.namespace)
    jobs = ["bot-check", "bot-export", "bot-train-0", "gang-check", "gang-train-0"]
    until(lambda: running.scene.names("batch/v1", "Job") == jobs, "what other jobs had is gone")
    assert identities(running.scene) == before
    assert [asked.path for asked in running.proxy.written[written:] if any(f"/{name}" in asked.path for name in STANDING)] == []
    assert made(running.scene).count("gang-train-0") == 1
    assert running.operator.starts == 1
    assert running.operator.get("/livez") == 200


def identities(scene: Any) -> set[str]:
    return {pod["metadata"]["uid"] for pod in scene.kubelet.pods("trainer")}


@pytest.mark.parametrize(("status", "retry_after"), [(500, None), (503, None), (429, 1), (403, None)])
def test_connections_are_refused_for_a_long_time(life, status, retry_after):
    before, paused = life.proxy.refused, life.operator.pauses()
    life.proxy.refuse(status, retry_after=retry_after)
    life.proxy.cut_watches()
    life.scene.create_job("meanwhile")
    until(lambda: life.proxy.refused - before >= TRIES * WATCHES, "all watches have tried in vain")
    until(lambda: life.operator.pauses() > paused, "the Lease could not be renewed for too long")
    time.sleep(LONGER)
    life.proxy.relent()
    until(lambda: life.scene.status("meanwhile").get("phase") == "Checking", "what came meanwhile is worked on", patience=180)


def test_watches_that_break_repeatedly(life):
    """At any moment of a life, in the middle of what they show."""
    draw = random.Random(7)

    def fall() -> None:
        life.proxy.cut_watches()
        life.proxy.strike(draw.randint(1, 3), "meanwhile", fall)

    fall()
    life.scene.create_job("broken")
    life.scene.reaches("Checking", "broken")
    assert life.proxy.cut >= WATCHES
    life.proxy.strike(1, "meanwhile", lambda: None)


def test_watches_that_stay_open_without_events(life):
    """As a load balancer leaves them that has forgotten a connection."""
    held = life.proxy.held
    life.proxy.hold_watches()
    life.scene.create_job("unseen")
    until(lambda: life.proxy.held > held, "a watch would show it")
    opened = life.proxy.opened
    life.proxy.let_watches_go_on(only_new=True)
    until(lambda: life.proxy.opened - opened >= WATCHES, "all are opened again")
    life.scene.reaches("Checking", "unseen")


def test_watches_that_never_have_events_again(life):
    """Reopened watches, too: lists show what they miss."""
    held = life.proxy.held
    life.proxy.hold_watches()
    life.scene.create_job("listed")
    life.scene.reaches("Checking", "listed")
    assert life.proxy.held > held
    life.proxy.let_watches_go_on()


def test_an_api_server_that_is_killed_in_the_middle_of_a_write(life, own_plane):
    """It is started again by this thread: programs end with the thread that started them."""
    asked, back = threading.Event(), threading.Event()

    def fall() -> None:
        asked.set()
        assert back.wait(300)

    life.proxy.strike(2, "meanwhile", fall)
    life.scene.create_job("interrupted")
    assert asked.wait(60)
    own_plane.plane.restart("kube-apiserver")
    back.set()
    life.scene.reaches("Checking", "interrupted")


def test_an_etcd_that_is_stopped_in_the_middle_of_a_write(life, own_plane):
    """Wait until a write has timed out: the API server waits longer for its etcd than the operator waits for an answer."""
    etcd = own_plane.plane.pids()["etcd"]
    failed = life.operator.reconciles("transient")
    life.proxy.strike(2, "meanwhile", lambda: os.kill(etcd, signal.SIGSTOP))
    try:
        life.scene.create_job("frozen")
        until(lambda: life.operator.reconciles("transient") > failed, "a write has been given up")
    finally:
        os.kill(etcd, signal.SIGCONT)
    life.scene.reaches("Checking", "frozen")
