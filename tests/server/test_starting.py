"""What the server needs to start: settings, a whole model folder, room for its cache. Everything else is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from models import BuiltModel

from tunewright_contract import environment
from tunewright_contract.folders import MANIFEST_NAME, ModelManifest, SequenceToSequenceGraph
from tunewright_server.capacity import READING_ARRAYS, bytes_per_token, plan_capacity, plan_source_and_target, share_memory
from tunewright_server.engine.decoder import resolve_providers
from tunewright_server.engine.request import Lengths
from tunewright_server.machine import cpu_limit, memory_limit
from tunewright_server.model_folder import open_folder, verify_contents
from tunewright_server.refusal import RefusalError
from tunewright_server.settings import ServerSettings, read_settings

GIB = 2**30


def test_only_the_model_folder_is_required() -> None:
    assert read_settings({environment.MODEL_DIR: "/models/a"}) == ServerSettings(
        model_dirs=(Path("/models/a"),),
        host="127.0.0.1",
        port=8080,
        model_name=None,
        max_slots=None,
        max_length=None,
        execution_providers=("CPU",),
    )


@pytest.mark.parametrize(
    ("named", "variables"),
    [
        ("TUNEWRIGHT_MODEL_DIR is not set", {environment.MODEL_DIR: ""}),
        ("TUNEWRIGHT_PORT='http'", {environment.PORT: "http"}),
        ("TUNEWRIGHT_PORT='65536'", {environment.PORT: "65536"}),
        ("TUNEWRIGHT_MAX_SLOTS='0'", {environment.MAX_SLOTS: "0"}),
        ("TUNEWRIGHT_MAX_SLOTS='-1'", {environment.MAX_SLOTS: "-1"}),
        ("TUNEWRIGHT_MAX_LENGTH='4k'", {environment.MAX_LENGTH: "4k"}),
        ("TUNEWRIGHT_DRAIN_SECONDS='soon'", {environment.DRAIN_SECONDS: "soon"}),
        ("TUNEWRIGHT_DRAIN_SECONDS='nan'", {environment.DRAIN_SECONDS: "nan"}),
        ("TUNEWRIGHT_SMOKE_TEST is not a question: prompt", {environment.SMOKE_TEST: "{}"}),
        ("TUNEWRIGHT_SMOKE_TEST is not a question", {environment.SMOKE_TEST: "what is two and two?"}),
        ("TUNEWRIGHT_EXECUTION_PROVIDERS=','", {environment.EXECUTION_PROVIDERS: ","}),
    ],
)
def test_an_invalid_setting_is_named_with_its_value(named: str, variables: dict[str, str]) -> None:
    with pytest.raises(RefusalError) as refused:
        read_settings({environment.MODEL_DIR: "/models/a", **variables})
    assert named in str(refused.value)
    assert refused.value.suggestion
    assert refused.value.exit_code == 64


SEVERAL = {environment.MODEL_DIR: "", environment.MODEL_DIRS: "/models/a:/models/b"}


def test_several_folders_are_separated_like_those_of_path() -> None:
    assert read_settings(SEVERAL).model_dirs == (Path("/models/a"), Path("/models/b"))


@pytest.mark.parametrize(
    ("named", "variables"),
    [
        ("TUNEWRIGHT_MODEL_DIR='/c' and TUNEWRIGHT_MODEL_DIRS='/models/a:/models/b' are both set", {environment.MODEL_DIR: "/c"}),
        ("TUNEWRIGHT_MODEL_DIR is not set", {environment.MODEL_DIRS: ":"}),
        ("TUNEWRIGHT_MODEL_NAME='bot' is for one model, and TUNEWRIGHT_MODEL_DIRS names 2 folders", {environment.MODEL_NAME: "bot"}),
        ("TUNEWRIGHT_SMOKE_TEST=", {environment.SMOKE_TEST: '{"prompt": "Hello"}'}),
    ],
)
def test_a_setting_for_one_model_is_refused_for_several(named: str, variables: dict[str, str]) -> None:
    with pytest.raises(RefusalError) as refused:
        read_settings({**SEVERAL, **variables})
    assert named in str(refused.value)
    assert (refused.value.suggestion != "", refused.value.exit_code) == (True, 64)


@pytest.mark.parametrize(
    ("expected", "weights", "memory"),
    [
        ([28], [4], 28),
        ([14, 14], [4, 4], 28),
        ([13, 15], [3, 5], 28),  # 20 are left: 10 for each, beside its weights
        ([4, 2], [6, 4], 6),  # less than the weights: each of the two is refused when it is planned
    ],
)
def test_models_of_one_process_share_the_memory_without_weights(expected: list[int], weights: list[int], memory: int) -> None:
    assert share_memory(weights, memory) == expected


def test_an_execution_provider_has_a_short_and_a_long_name() -> None:
    assert resolve_providers(["cpu"]) == resolve_providers(["CPUExecutionProvider"]) == ["CPUExecutionProvider"]


def test_a_missing_execution_provider_is_refused_with_a_list() -> None:
    with pytest.raises(RefusalError, match="asks for 'ROCM'") as refused:
        resolve_providers(["ROCM", "CPU"])
    assert "CPU" in refused.value.suggestion


def truncate(folder: Path) -> None:
    with (folder / "model.onnx.data").open("r+b") as file:
        file.truncate(1000)


def flip_a_byte(folder: Path) -> None:
    with (folder / "model.onnx.data").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))


def point_outside(folder: Path) -> None:
    text = (folder / MANIFEST_NAME).read_text()
    (folder / MANIFEST_NAME).write_text(text.replace('"tokenizer.json"', '"../../tokenizer.json"'))


def edit(old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        text = (folder / MANIFEST_NAME).read_text()
        assert old in text
        (folder / MANIFEST_NAME).write_text(text.replace(old, new))

    return apply


def forget(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST_NAME).read_text())
        manifest["files"] = [file for file in manifest["files"] if file["path"] != name]
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest))

    return apply


@pytest.mark.parametrize(
    ("expected", "code", "damage"),
    [
        ("ModelFolderMissing", 64, shutil.rmtree),
        ("ManifestMissing", 64, lambda folder: (folder / MANIFEST_NAME).unlink()),
        ("ManifestCorrupted", 65, lambda folder: (folder / MANIFEST_NAME).write_text('{"name": "half')),
        ("ManifestCorrupted", 65, lambda folder: (folder / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00")),
        ("ManifestCorrupted", 65, edit('"layers"', '"leyers"')),
        ("ManifestCorrupted", 65, point_outside),
        ("ModelFileMissing", 65, lambda folder: (folder / "tokenizer.json").unlink()),
        ("ModelFileMissing", 65, forget("model.onnx")),
        ("ModelFileMissing", 65, forget("tokenizer.json")),
        ("ModelFileTruncated", 65, truncate),
        ("ModelFileTruncated", 65, lambda folder: (folder / "tokenizer.json").write_text("longer" * 100_000)),
        ("ModelFileCorrupted", 65, flip_a_byte),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_damaged_model_folder_is_refused(expected: str, code: int, damage: Callable, tiny: BuiltModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny.served_dir, folder)
    verify_contents(open_folder(folder))  # whole before it is damaged
    damage(folder)
    with pytest.raises(RefusalError) as refused:
        verify_contents(open_folder(folder))
    assert (expected, code) == (refused.value.reason, refused.value.exit_code)
    assert refused.value.suggestion


@pytest.fixture
def manifest(tiny: BuiltModel) -> ModelManifest:
    """Of a model like Phi-3-mini: 32 layers, 32 heads of 96, 131,072 tokens of context."""
    read = open_folder(tiny.served_dir).manifest
    graph = read.graph.model_copy(update={"layers": 32, "kv_heads": 32, "head_size": 96})
    return read.model_copy(update={"graph": graph, "context_length": 131_072})


def test_the_cache_of_phi_3_mini_costs_768_kib_per_token(manifest: ModelManifest) -> None:
    assert bytes_per_token(manifest.graph, manifest.graph.kv_heads) == 768 * 1024


@pytest.mark.parametrize(
    ("slots", "length", "memory", "asked"),
    [
        (16, 4096, 200, {}),  # plenty: the defaults
        (4, 4096, 28, {}),  # half of the 24 GiB left is 12 GiB, and a slot takes 3 GiB
        (1, 4096, 7, {}),  # one slot always, as long as it fits
        (16, 512, 28, {"max_length": 512}),
        (8, 4096, 28, {"max_slots": 8}),  # more than the server would take by itself, and it fits
        (2, 8192, 28, {"max_length": 8192}),
    ],
)
def test_slots_and_length_are_set_or_computed_from_memory(
    slots: int, length: int, memory: int, asked: dict[str, int], manifest: ModelManifest
) -> None:
    wanted = {"max_slots": None, "max_length": None, **asked}
    plan = plan_capacity(manifest.graph, context=manifest.context_length, weight_bytes=4 * GIB, memory_bytes=memory * GIB, **wanted)
    assert (slots, length, slots * length * 768 * 1024) == (plan.slots, plan.lengths.total, plan.cache_bytes)


@pytest.mark.parametrize(
    ("reason", "memory", "asked"),
    [
        ("CacheDoesNotFit", 28, {"max_slots": 16}),
        ("CacheDoesNotFit", 28, {"max_length": 65_536}),
        ("CacheDoesNotFit", 4, {}),
        ("MaxLengthTooLong", 900, {"max_length": 131_073}),
    ],
)
def test_a_cache_that_does_not_fit_is_refused(reason: str, memory: int, asked: dict[str, int], manifest: ModelManifest) -> None:
    wanted = {"max_slots": None, "max_length": None, **asked}
    with pytest.raises(RefusalError) as refused:
        plan_capacity(manifest.graph, context=manifest.context_length, weight_bytes=4 * GIB, memory_bytes=memory * GIB, **wanted)
    assert refused.value.reason == reason


TRANSLATOR = SequenceToSequenceGraph(layers=6, heads=8, head_size=64, decoder_start_token_id=0, max_target_length=512)
UNBOUNDED = TRANSLATOR.model_copy(update={"max_target_length": None})  # T5
PER_TOKEN = 2 * 6 * 8 * 64 * 4  # bytes
READING = READING_ARRAYS * 8 * 512 * 512 * 4  # of a source of 512 tokens


@pytest.mark.parametrize(
    ("lengths", "slots", "graph", "asked"),
    [
        ((512, 511), 16, TRANSLATOR, {}),
        ((512, 510), 16, TRANSLATOR, {"start": 2}),
        ((512, 511), 16, UNBOUNDED, {}),  # its context bounds the target, too
        ((1024, 511), 16, TRANSLATOR, {"context": 1024}),
        ((1024, 1023), 16, UNBOUNDED, {"context": 1024}),
        ((4096, 4095), 12, UNBOUNDED, {"context": 32_768}),
        ((100, 99), 16, TRANSLATOR, {"max_length": 100}),
        ((512, 511), 3, TRANSLATOR, {"memory_bytes": GIB + READING + 6 * 1024 * PER_TOKEN}),  # half of what is left
        ((512, 511), 6, TRANSLATOR, {"memory_bytes": GIB + READING + 6 * 1024 * PER_TOKEN, "max_slots": 6}),
    ],
)
def test_source_and_target_are_bounded_separately_and_cached_both(
    lengths: tuple[int, int], slots: int, graph: SequenceToSequenceGraph, asked: dict[str, int]
) -> None:
    start = asked.get("start", 1)
    plan = plan_source_and_target(graph, **{**TRANSLATION, **asked})
    assert (plan.lengths, plan.slots) == (Lengths.separate(prompt=lengths[0], answer=lengths[1]), slots)
    assert plan.cache_bytes == slots * (sum(lengths) + start) * PER_TOKEN


TRANSLATION = {"start": 1, "context": 512, "weight_bytes": GIB, "memory_bytes": 9 * GIB, "max_slots": None, "max_length": None}


@pytest.mark.parametrize(
    ("reason", "words", "asked"),
    [
        ("CacheDoesNotFit", r"0.09 GiB: 4 slots x 1024 tokens x 24576 bytes, .* of a source leave 0.05 GiB of 1.10 GiB", {"max_slots": 4}),
        ("SourceDoesNotFit", "of 512 tokens needs 0.05 GiB, and the weights leave 0.00 GiB of 1.00 GiB", {"memory_bytes": GIB}),
        (
            "SourceDoesNotFit",
            "of 8192 tokens needs 14.00 GiB, and the weights leave 9",
            {"max_length": 8192, "context": 8192, "memory_bytes": 10 * GIB},
        ),
        ("MaxLengthTooLong", "exceeds the model's context of 512 tokens", {"max_length": 513}),
        ("MaxLengthTooShort", "a target of 2 tokens has no room for an answer: it begins with 2", {"max_length": 2, "start": 2}),
    ],
)
def test_caches_of_source_and_target_that_do_not_fit_are_refused_with_their_sizes(reason: str, words: str, asked: dict[str, int]) -> None:
    little = {**TRANSLATION, "memory_bytes": GIB + READING + 2 * 1024 * PER_TOKEN}
    with pytest.raises(RefusalError, match=words) as refused:
        plan_source_and_target(TRANSLATOR, **{**little, **asked})
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("expected", "files"),
    [
        (1, {"cpu.max": "50000 100000"}),
        (2, {"cpu.max": "150000 100000"}),
        (64, {"cpu.max": "max 100000"}),
        (64, {}),
        (1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}),
        (64, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
    ],
)
def test_threads_come_from_the_quota_and_not_from_the_host(
    expected: int, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    write_files(tmp_path, files)
    assert cpu_limit(tmp_path) == expected


@pytest.mark.parametrize(
    ("limited", "files"),
    [(True, {"memory.max": "1048576"}), (False, {"memory.max": "max"}), (True, {"memory/memory.limit_in_bytes": "1048576"}), (False, {})],
)
def test_memory_comes_from_the_limit(limited: bool, files: dict[str, str], tmp_path: Path) -> None:
    write_files(tmp_path, files)
    assert (memory_limit(tmp_path) == 1_048_576) is limited
    assert memory_limit(tmp_path) <= memory_limit(tmp_path / "nothing")


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text + "\n")
