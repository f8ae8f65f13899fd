"""Several models in one process: each is found by its name, counted by its name, and drained with the others."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from models import BuiltModel, TinyModel, build
from serving import Server, ready_server, start_server

from tunewright_contract.folders import MANIFEST_NAME

LONG = {"prompt": "Paris is", "max_tokens": 1000, "temperature": 0, "extra_body": {"ignore_eos": True}}
SHORT = {"prompt": "Paris is", "max_tokens": 16, "temperature": 0, "extra_body": {"ignore_eos": True}}


def named(model: BuiltModel, name: str, home: Path) -> Path:
    """Copy a model folder and name the model in its manifest."""
    folder = home / name
    shutil.copytree(model.served_dir, folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).write_text(json.dumps({**manifest, "name": name}))
    return folder


@pytest.fixture(scope="module")
def folders(tiny: BuiltModel, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("models")
    other = build(TinyModel(architecture="gpt2", graph="dynamic_cache"))
    return [named(tiny, "one", home), named(other, "two", home)]


def dirs(folders: list[Path]) -> dict[str, str]:
    return {"MODEL_DIR": "", "MODEL_DIRS": ":".join(map(str, folders)), "MAX_SLOTS": "2"}


@pytest.fixture(scope="module")
def both(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(folders[0], tmp_path_factory.mktemp("server"), **dirs(folders)) as server:
        yield server


def test_all_models_are_listed(both: Server) -> None:
    assert [model.id for model in both.openai.models.list()] == ["one", "two"]
    assert both.openai.models.retrieve("two").id == "two"


def test_each_model_answers_as_it_does_alone(both: Server, folders: list[Path], tmp_path: Path) -> None:
    together = {name: both.openai.completions.create(model=name, **SHORT).choices[0].text for name in ("one", "two")}
    assert together["one"] != together["two"]
    for name, folder in zip(together, folders, strict=True):
        with ready_server(folder, tmp_path) as alone:
            assert alone.openai.completions.create(model=name, **SHORT).choices[0].text == together[name]


def test_an_unknown_model_gets_404_with_the_existing_ones(both: Server) -> None:
    with pytest.raises(openai.NotFoundError, match="the model 'three' does not exist; this server has 'one', 'two'") as refused:
        both.openai.completions.create(model="three", **SHORT)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(("status", "name"), [(200, "one"), (200, "two"), (404, "three")])
def test_each_model_has_its_readiness(status: int, name: str, both: Server) -> None:
    assert both.get(f"/v2/models/{name}/ready").status_code == status


def test_each_model_is_counted_under_its_name(both: Server) -> None:
    before = tokens(both)
    both.openai.completions.create(model="two", **SHORT)
    after = tokens(both)
    assert (after["one"] - before["one"], after["two"] - before["two"]) == (0, 16)
    assert both.get("/metrics").text.count("# TYPE vllm:num_requests_running gauge") == 1


def tokens(server: Server) -> dict[str, float]:
    lines = server.get("/metrics").text.splitlines()
    name = "vllm:generation_tokens_total{model_name="
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)}


def test_sigterm_drains_all_models(folders: list[Path], tmp_path: Path) -> None:
    with ready_server(folders[0], tmp_path, **dirs(folders)) as server:
        client = server.openai
        with (
            client.completions.create(model="one", stream=True, **LONG) as one,
            client.completions.create(model="two", stream=True, **LONG) as two,
        ):
            streams = [iter(one), iter(two)]
            for chunks in streams:
                next(chunks)
            server.signal(signal.SIGTERM)
            server.logged("draining")
            assert server.get("/v2/models/one/ready").status_code == 503
            assert [[chunk.choices[0].finish_reason for chunk in chunks][-1] for chunks in streams] == ["length", "length"]
        assert server.exit_code() == 0


def test_two_models_of_one_name_are_refused(tiny: BuiltModel, folders: list[Path], tmp_path: Path) -> None:
    twin = named(tiny, "one", tmp_path)
    with start_server(twin, tmp_path, **dirs([*folders, twin])) as server:
        assert (server.exit_code(), server.failure.reason) == (64, "ModelNameTaken")
        assert str(folders[0]) in server.failure.message
        assert str(twin) in server.failure.message


def test_a_model_that_cannot_be_loaded_ends_the_process(folders: list[Path], tiny: BuiltModel, tmp_path: Path) -> None:
    broken = named(tiny, "broken", tmp_path)
    weights = (broken / "model.onnx.data").read_bytes()
    (broken / "model.onnx.data").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with start_server(broken, tmp_path, **dirs([folders[0], broken])) as server:
        assert (server.exit_code(), server.failure.reason) == (65, "ModelFileCorrupted")
        assert server.failure.message.startswith("model 'broken': model.onnx.data")
