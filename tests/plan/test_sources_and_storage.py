"""Where model and data come from, and where checkpoints and models go."""

import pytest
from plan_jobs import CLUSTER, facts, job, rejected

from tunewright.plan.inputs import Defaults, References
from tunewright.plan.plan_types import ClaimSource, FolderSource, NewClaim, SecretKey
from tunewright.plan.storage import data_files, model_origin, storage_of
from tunewright_contract.trainer_config import HubModel


def claim_file(path, claim="corpora", **dataset):
    return {"source": {"pvc": {"claimName": claim, "path": path}}, **dataset}


def local(path, **dataset):
    return {"source": {"path": path}, **dataset}


def machine(folders):
    return References(host_paths=True, folders=folders)


def model(source, refs=CLUSTER):
    return model_origin(job({"model": {"source": source | ({} if "pvc" in source else {"pvc": None})}}), refs)


def data(train, refs=CLUSTER, **sets):
    return data_files(job({"data": {"train": train, **sets}}), refs)


def test_a_model_in_a_claim():
    origin = model({"pvc": {"claimName": "models", "path": "phi3/"}})
    assert (origin.source, origin.hub, origin.token) == (ClaimSource(claim="models", path="phi3"), None, None)
    assert model({"pvc": {"claimName": "models", "path": None}}).source == ClaimSource(claim="models", path="")


def test_a_model_on_the_hub_with_its_token():
    hub = {"repo": "microsoft/Phi-3-mini-4k-instruct", "revision": "abc"}
    assert model({"huggingFace": hub}).hub == HubModel(repo="microsoft/Phi-3-mini-4k-instruct", revision="abc")
    origin = model({"huggingFace": hub | {"tokenSecretRef": {"name": "hub", "key": "token"}}})
    assert (origin.token, origin.source) == (SecretKey(name="hub", key="token"), None)


def test_a_model_folder_of_this_machine():
    assert model({"path": "base"}, machine({"base": "/home/me/base"})).source == FolderSource(path="/home/me/base")


def test_a_path_is_refused_in_a_cluster():
    words = "put it into a claim and use pvc, or use `tunewright run`"
    refused = [rejected(model({"path": "base"}), words), rejected(data([claim_file("a.jsonl")], test=[local("b.jsonl")]), words)]
    assert [item.field for item in refused] == ["spec.model.source.path", "spec.data.test[0].source.path"]


def test_files_of_one_folder_share_a_volume():
    files = data([claim_file("chat/a.jsonl", format="messages"), claim_file("chat/b.jsonl")], validation=[claim_file("chat/valid.jsonl")])
    (volume,) = files.volumes
    assert volume.source == ClaimSource(claim="corpora", path="chat")
    assert [file.path for file in (*files.train, *files.validation)] == [f"{volume.name}/{name}.jsonl" for name in ("a", "b", "valid")]
    assert [file.format for file in files.train] == ["messages", None]


def test_files_of_different_folders_and_claims_have_volumes_of_their_own():
    files = data([claim_file("chat/a.jsonl"), claim_file("a.jsonl"), claim_file("chat/a.jsonl", claim="others")])
    assert len(files.volumes) == 3
    assert len({file.path for file in files.train}) == 3
    assert [volume.name for volume in files.volumes] == sorted(volume.name for volume in files.volumes)


def test_a_volumes_name_does_not_change_when_another_data_set_is_added():
    alone = data([claim_file("chat/a.jsonl")])
    together = data([claim_file("more/b.jsonl"), claim_file("chat/a.jsonl")])
    assert alone.train[0] == together.train[1]


def test_a_file_of_this_machine():
    files = data([local("data/train.jsonl", columns={"prompt": "question"})], machine({"data/train.jsonl": "/home/me/data/train.jsonl"}))
    assert files.volumes[0].source == FolderSource(path="/home/me/data")
    assert files.train[0].path == f"{files.volumes[0].name}/train.jsonl"
    assert files.train[0].columns == {"prompt": "question"}


def test_a_file_in_the_root_of_the_machine():
    assert data([local("t")], machine({"t": "/t.jsonl"})).volumes[0].source == FolderSource(path="/")


def storage(output=None, counted=None, **spec):
    return storage_of(job({"output": output or {}, **spec}), "support-bot-output", Defaults(), counted)


def test_by_default_one_claim_is_created_for_everything():
    found = storage()
    assert found.create == NewClaim(size="50Gi")
    assert (found.output_claim, found.models_claim, found.models_path, found.retain) == (
        "support-bot-output",
        "support-bot-output",
        "models",
        True,
    )


def test_a_named_claim_is_used():
    found = storage({"storage": {"claimName": "scratch"}, "destinations": [{"pvc": {"claimName": "models", "path": "team/"}}]})
    assert (found.output_claim, found.models_claim, found.models_path, found.create) == ("scratch", "models", "team", None)


def test_a_destination_without_a_path_is_the_claims_root():
    assert storage({"destinations": [{"pvc": {"claimName": "models"}}]}).models_path == ""


@pytest.mark.parametrize("path", ["runs", "runs/team", "cache/"])
def test_models_are_refused_in_the_folders_of_checkpoints_and_downloads(path):
    both = {"storage": {"claimName": "shared"}, "destinations": [{"pvc": {"claimName": "shared", "path": path}}]}
    rejected(storage(both), "in claim shared holds checkpoints; name another folder, such as models")


def test_in_another_claim_any_folder_is_accepted():
    asked = {"storage": {"claimName": "scratch"}, "destinations": [{"pvc": {"claimName": "shared", "path": "runs"}}]}
    assert storage(asked).models_path == "runs"


def test_the_created_claim_follows_the_spec():
    found = storage({"storage": {"size": "1Ti", "storageClassName": "fast", "accessModes": ["ReadWriteMany"], "retain": False}})
    assert found.create == NewClaim(size="1Ti", storage_class="fast", access_modes=("ReadWriteMany",))
    assert found.retain is False


@pytest.mark.parametrize(
    ("expected", "written", "present"),
    [
        pytest.param("50Gi", {}, "", id="no claim, no size: the default"),
        pytest.param("40Gi", {}, "40Gi", id="the default was another when the claim was created"),
        pytest.param("60Gi", {}, "60Gi", id="a person has enlarged it"),
        pytest.param("60Gi", {"size": "20Gi"}, "60Gi", id="a person has enlarged one with a size in the job"),
        pytest.param("20Gi", {"size": "20Gi"}, "20480Mi", id="the same size in another form"),
        pytest.param("1Ti", {"size": "1Ti"}, "50Gi", id="a larger size in the job"),
    ],
)
def test_a_claim_keeps_its_size_unless_the_job_asks_for_more(expected, written, present):
    found = storage_of(job({"output": {"storage": written}}), "support-bot-output", Defaults(), None, present_size=present)
    assert found.create.size == expected


def test_a_claim_too_small_for_its_checkpoints_is_refused_once_parameters_are_counted():
    small = {"storage": {"size": "100Gi"}}
    assert storage(small).create is not None
    assert storage(small, facts()).create is not None
    rejected(storage(small, facts(trainable=None)), r"E402: 100Gi cannot hold 2 checkpoints, one being written, and the result: 157 GiB")
    assert storage(small, facts(trainable=None), training={"saveOnlyModel": True}).create is not None
    assert storage({"storage": {"claimName": "mine"}}, facts(trainable=None)).create is None, "the size of an existing claim is not known"
