"""Parts of a node that need no node: addresses, slots, volumes, archives, messages about missing parts."""

import hashlib
import ipaddress
import itertools
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import cgroups
import needs
import pytest
import slots
from archives import write_image
from demo import image_values
from provisioner import PROVISIONER, is_left, volume_for, waits_for_us
from slots import COUNT, Claim, NoSlotError, Slot, abandoned

HOLDER = """
import sys
sys.path.insert(0, {here!r})
import slots
from pathlib import Path
slots.LOCKS = Path({locks!r})
claim = slots.Claim.first_free()
claim.note(4711)
print(claim.slot.number, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def locks(tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "LOCKS", tmp_path / "locks")
    return tmp_path / "locks"


@pytest.fixture
def holder(locks):
    """Another process that holds the first free slot."""
    program = HOLDER.format(here=str(Path(__file__).parent), locks=str(locks))
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "0\n"
    yield process
    process.kill()
    process.communicate()


def test_slots_have_different_addresses_reserved_for_tests():
    each = [Slot(number) for number in range(COUNT)]
    networks = [ipaddress.ip_network(text, strict=False) for s in each for text in (s.services, s.pods, f"{s.address}/30")]

    assert all(network.subnet_of(ipaddress.ip_network("198.18.0.0/15")) for network in networks)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(networks, 2))
    assert all(
        ipaddress.ip_network(f"{s.address}/30", strict=False) == ipaddress.ip_network(f"{s.machine_address}/30", strict=False) for s in each
    )


def test_device_names_are_short_enough_for_the_kernel():
    assert max(len(Slot(number).link) for number in range(COUNT)) <= 15


def test_a_slot_has_one_holder(locks, holder):
    assert Claim.of(Slot(0)) is None
    mine = Claim.first_free()

    assert (mine.slot, list(abandoned())) == (Slot(1), [])
    mine.release()


def test_the_slot_of_a_killed_holder_is_found_with_its_record(locks, holder):
    holder.kill()
    holder.wait()
    (left,) = abandoned()

    assert (left.slot, left.noted()) == (Slot(0), 4711)
    left.note(None)
    assert left.noted() is None
    left.release()


def test_an_error_reports_that_all_slots_are_held(locks, monkeypatch):
    monkeypatch.setattr(slots, "COUNT", 1)
    mine = Claim.first_free()

    with pytest.raises(NoSlotError, match="1 nodes run on this machine already"):
        Claim.first_free()
    mine.release()


def claim(*, asked_of=PROVISIONER, volume=None, going=None):
    metadata = {"name": "data", "namespace": "team", "uid": "1234", "annotations": {"volume.kubernetes.io/storage-provisioner": asked_of}}
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "standard", "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "metadata": metadata | ({"deletionTimestamp": going} if going else {}),
        "spec": spec | ({"volumeName": volume} if volume else {}),
    }


@pytest.mark.parametrize(
    ("expected", "given"),
    [(True, {}), (False, {"asked_of": "elsewhere.io/disk"}), (False, {"volume": "pvc-1234"}), (False, {"going": "2030-01-01T00:00:00Z"})],
    ids=["ours and unbound", "another class", "bound", "being deleted"],
)
def test_claims_that_get_a_volume(expected, given):
    assert waits_for_us(claim(**given)) is expected


def test_a_volume_has_the_access_modes_of_its_claim():
    volume = volume_for(claim(), Path("/volumes"))

    assert volume["metadata"]["name"] == "pvc-1234"
    assert volume["spec"]["hostPath"]["path"] == "/volumes/pvc-1234"
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert volume["spec"]["claimRef"]["uid"] == "1234"
    assert "nodeAffinity" not in volume["spec"]


def test_a_volume_of_a_class_that_waits_for_the_first_pod_stays_on_its_node():
    waiting = claim()
    waiting["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = "node-2"
    (term,) = volume_for(waiting, Path("/volumes"))["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]

    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}]


@pytest.mark.parametrize(
    ("expected", "by", "phase"),
    [(True, PROVISIONER, "Released"), (False, PROVISIONER, "Bound"), (False, "elsewhere.io/disk", "Released")],
)
def test_a_volume_is_deleted_with_its_claim(expected, by, phase):
    assert is_left({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": by}}, "status": {"phase": phase}}) is expected


def test_an_image_has_its_program_on_its_path(tmp_path):
    program = tmp_path / "probe"
    program.write_text("#!/bin/sh\n")
    write_image(tmp_path / "image.tar", name="localhost/probe:1", program=program, command=["probe", "pause"])
    with tarfile.open(tmp_path / "image.tar") as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        config = json.load(tar.extractfile(manifest["Config"]))
        layer = tar.extractfile(manifest["Layers"][0]).read()
        with tarfile.open(fileobj=tar.extractfile(manifest["Layers"][0])) as files:
            modes = {member.name: oct(member.mode) for member in files}

    assert modes == {"bin/probe": "0o755"}
    assert manifest["RepoTags"] == ["localhost/probe:1"]
    assert (config["config"]["Env"], config["config"]["User"]) == (["PATH=/bin"], "65532:65532")
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_control_groups_of_version_2_are_made_with_their_controllers_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "MOUNT", tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids")
    (tmp_path / "cgroup.subtree_control").touch()
    cgroups.make("node")

    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids +hugetlb"
    (tmp_path / "node" / "cgroup.subtree_control").unlink()  # which a kernel's folder does not keep from being removed
    (tmp_path / "node" / "kubepods").mkdir()
    assert cgroups.remove("node") is True
    assert not (tmp_path / "node").exists()


def test_a_group_with_a_process_in_it_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "MOUNT", tmp_path)
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "cgroup.procs").touch()  # with a file in it the kernel's answer is "busy"

    assert cgroups.remove("node") is False


@pytest.mark.parametrize(
    ("says", "system", "user", "lacking"),
    [
        ("needs Linux", "Darwin", 0, []),
        ("needs root", "Linux", 1000, []),
        ("apt-get install -y containerd runc", "Linux", 0, ["containerd", "runc"]),
    ],
    ids=["another system", "another user", "packages"],
)
def test_a_missing_tool_is_named_with_its_package(monkeypatch, says, system, user, lacking):
    monkeypatch.setattr(needs.platform, "system", lambda: system)
    monkeypatch.setattr(needs.os, "geteuid", lambda: user)
    monkeypatch.setattr(needs, "missing_packages", lambda: lacking)

    assert says in needs.what_is_missing()


def test_packages_are_named_once_and_sorted(monkeypatch):
    monkeypatch.setattr(needs.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(needs, "PLUGIN_FOLDERS", ())
    bare = needs.missing_packages()

    assert bare == sorted(set(bare))
    assert set(needs.missing_packages(with_builders=True)) - set(bare) == {"buildah", "mmdebstrap"}
    assert set(needs.missing_packages(with_policies=True)) - set(bare) == {"ipset", "iptables"}


def test_images_are_named_to_helm_in_the_chart_s_parts():
    assert image_values({"trainer": "docker.io/tunewright/trainer:0.1.0"}) == [
        "--set-string=images.trainer.registry=docker.io",
        "--set-string=images.trainer.repository=tunewright/trainer",
        "--set-string=images.trainer.tag=0.1.0",
    ]
