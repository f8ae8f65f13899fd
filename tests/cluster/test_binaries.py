"""Selection of the programs, and the messages if they are missing."""

import subprocess

import binaries
import pytest
from binaries import CONTROL_PLANE, HELM, NODE, NoProgramsError, build, built, find

FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.{minor}.0; exit 0; fi
echo "$@" >> {log}
{then}
"""
INSTALL = 'for name in server kube-apiserver kube-controller-manager kubectl kube-scheduler kubelet kube-proxy coredns helm probe; do echo "#!/bin/sh" > "$GOBIN/$name"; chmod +x "$GOBIN/$name"; done'


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with nothing on PATH, an empty cache, and ways to put programs somewhere."""
    for name in ("KUBEBUILDER_ASSETS", "TUNEWRIGHT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "path").mkdir()
    return tmp_path


def put(folder, *names, text="#!/bin/sh\n"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def put_go(bare, *, minor=26, then=INSTALL):
    put(bare / "path", "go", text=FAKE_GO.format(minor=minor, then=then, log=bare / "calls"))
    (bare / "path" / "chmod").symlink_to("/bin/chmod")


def test_named_programs_have_priority(bare, monkeypatch):
    named = put(bare / "named", *CONTROL_PLANE)
    put(built(), *CONTROL_PLANE)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(named))

    assert find().apiserver == named / "kube-apiserver"


def test_built_programs_come_before_those_on_path(bare):
    put(bare / "path", *CONTROL_PLANE)
    assert find().etcd == bare / "path" / "etcd"

    put(built(), *CONTROL_PLANE)
    assert find().etcd == built() / "etcd"


def test_a_named_folder_without_a_program_is_refused(bare, monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(put(bare / "named", "etcd", "kube-apiserver", "kubectl")))
    put(built(), *CONTROL_PLANE)

    for look in (find, build):
        with pytest.raises(NoProgramsError, match="lacks kube-controller-manager"):
            look()


def test_a_level_needs_only_its_own_programs(bare, monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(put(bare / "named", *CONTROL_PLANE, "helm")))

    assert (find().kubelet, find(HELM).helm) == (None, bare / "named" / "helm")
    with pytest.raises(NoProgramsError, match="lacks kube-scheduler, kubelet, kube-proxy, coredns, probe: put them there"):
        find(NODE)


def test_without_go_the_error_names_the_way_out(bare):
    for look in (find, build):
        with pytest.raises(NoProgramsError, match=r"Go 1\.25 or newer.*KUBEBUILDER_ASSETS"):
            look()


def test_a_go_that_is_too_old_is_named(bare):
    put_go(bare, minor=19)

    with pytest.raises(NoProgramsError, match=r"the one on PATH is go1\.19\.0"):
        build()


def test_finding_never_builds(bare):
    put_go(bare)

    with pytest.raises(NoProgramsError, match=r"not built yet.*build"):
        find()
    assert not (bare / "calls").exists()


def test_a_built_program_is_not_built_again(bare):
    put_go(bare)

    assert build() == build() == find()
    assert build().etcd == built() / "etcd"
    assert (bare / "calls").read_text().count("install -trimpath") == 3  # Kubernetes and etcd, helm, CoreDNS


def test_a_failed_build_leaves_no_program(bare):
    put_go(bare, then=f"{INSTALL}; exit 1")

    with pytest.raises(subprocess.CalledProcessError):
        build()
    assert [path.name for path in (bare / "cache").iterdir()] == [f"{built().name}.lock"]


def test_another_version_is_another_folder(bare, monkeypatch):
    before = built()
    monkeypatch.setattr(binaries, "BUILD", (*binaries.BUILD, "-race"))

    assert built() != before
    assert built().parent == before.parent
