"""Promises of built images: they run as any user, on a read-only file system, and build or install nothing."""

import json
import urllib.request
from pathlib import Path

import pytest
from container import USER, BuiltImage
from control_plane import free_ports
from models import TinyModel, build
from waiting import until

from tunewright_contract.exit_codes import ExitCode

COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "ld", "as", "make", "cmake", "nvcc")
INSTALLERS = ("pip", "pip3", "uv", "ensurepip")
AnyImage = tuple[str, BuiltImage]


def test_an_image_runs_as_a_user_without_rights(any_image: AnyImage) -> None:
    _, image = any_image

    assert image.config["User"] == f"{USER}:{USER}"
    assert image.python("import os; print(os.getuid(), os.getgid())") == f"{USER} {USER}"


def test_an_image_runs_as_any_user_without_rights_by_name_too(any_image: AnyImage) -> None:
    _, image = any_image

    assert image.python("import os, getpass; print(os.getuid(), getpass.getuser())", user=1000730000) == "1000730000 tunewright"


def test_every_folder_that_is_written_to_is_scratch(any_image: AnyImage) -> None:
    _, image = any_image

    written = {name: value for name, value in image.variables.items() if name == "HOME" or name.endswith(("TMPDIR", "_DIR", "_HOME"))}
    assert written
    assert {Path(value).parts[:2] for value in written.values()} == {("/", "tmp")}


def test_only_scratch_can_be_written_to(any_image: AnyImage) -> None:
    _, image = any_image
    program = """
import os, sys, sysconfig, tempfile
tempfile.TemporaryFile().close()
def refused(folder):
    try:
        open(os.path.join(folder, "x"), "w")
    except OSError as error:
        return error.strerror
print({refused(folder) for folder in ("/", "/opt/tunewright", "/var/tmp", sysconfig.get_path("purelib"))})
"""

    assert image.python(program) == "{'Read-only file system'}"


def test_no_image_has_a_compiler_or_an_installer(any_image: AnyImage) -> None:
    name, image = any_image
    program = f"""
import importlib.util, shutil
print([tool for tool in {COMPILERS + INSTALLERS} if shutil.which(tool) or importlib.util.find_spec(tool)])
"""

    assert image.python(program) == "[]", name


def test_every_module_has_its_bytecode(any_image: AnyImage) -> None:
    _, image = any_image
    program = """
import importlib.util, pathlib, tunewright_contract
folder = pathlib.Path(tunewright_contract.__file__).parent
files = [file for package in folder.parent.glob("tunewright*") if package.is_dir() for file in package.rglob("*.py")]
lacking = [str(file) for file in files if not pathlib.Path(importlib.util.cache_from_source(file)).is_file()]
assert len(files) > 10
print(lacking)
"""

    assert image.python(program) == "[]"


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("operator", {"tunewright", "tunewright_contract", "tunewright_runtime"}),
        ("server", {"tunewright_contract", "tunewright_server"}),
        ("trainer", {"tunewright_contract", "tunewright_trainer"}),
    ],
)
def test_an_image_has_only_its_own_packages(name: str, packages: set[str], request: pytest.FixtureRequest) -> None:
    image: BuiltImage = request.getfixturevalue(f"{name}_image")
    every = ["tunewright", "tunewright_contract", "tunewright_runtime", "tunewright_server", "tunewright_trainer"]

    found = image.python(f"import importlib.util, json; print(json.dumps([n for n in {every} if importlib.util.find_spec(n)]))")

    assert set(json.loads(found)) == packages


def test_an_image_has_its_version_as_a_label(any_image: AnyImage) -> None:
    name, image = any_image

    version = image.python("import importlib.metadata; print(importlib.metadata.version('tunewright'))")

    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in image.config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == (f"tunewright-{name}", version, "Apache-2.0")
    assert labels["description"]


def test_the_operator_refuses_a_wrong_setting_by_name(operator_image: BuiltImage) -> None:
    ended = operator_image.run(TUNEWRIGHT_WORKERS="many")

    assert ended.returncode == ExitCode.CONFIGURATION
    assert "TUNEWRIGHT_WORKERS='many'" in ended.stderr


def test_every_part_of_the_operator_can_be_imported(operator_image: BuiltImage) -> None:
    assert operator_image.python("import tunewright.shell.app, kopf, kubernetes, sys; print('torch' in sys.modules)") == "False"


def test_the_server_refuses_to_start_without_a_model(server_image: BuiltImage) -> None:
    ended = server_image.run()

    assert ended.returncode == ExitCode.CONFIGURATION
    assert "TUNEWRIGHT_MODEL_DIR is not set" in ended.stderr


@pytest.mark.slow
def test_the_server_answers(server_image: BuiltImage) -> None:
    (port,) = free_ports(1)
    folders = {"/tmp/model": build(TinyModel()).served_dir}
    settings = {"TUNEWRIGHT_MODEL_DIR": "/tmp/model", "TUNEWRIGHT_HOST": "127.0.0.1", "TUNEWRIGHT_PORT": str(port)}
    address = f"http://127.0.0.1:{port}"

    with server_image.running(folders=folders, **settings) as process:
        until(lambda: process.poll() is not None or _answers(f"{address}/v2/health/ready"), "the server serves a tiny model")
        body = json.dumps({"model": _model(address), "prompt": "Paris", "max_tokens": 4, "ignore_eos": True}).encode()
        request = urllib.request.Request(f"{address}/v1/completions", body, {"Content-Type": "application/json"})
        answer = json.load(urllib.request.urlopen(request, timeout=120))

    assert answer["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("name", ["server", "trainer"])
def test_telemetry_of_onnx_runtime_is_off(name: str, request: pytest.FixtureRequest) -> None:
    image: BuiltImage = request.getfixturevalue(f"{name}_image")
    program = "import onnxruntime, pathlib; print([str(file) for file in pathlib.Path('/tmp').rglob('*')])"

    assert image.python(program) == "[]"
    assert "Microsoft" in image.python(program, ORT_DISABLE_TELEMETRY="0")  # an identity, when it does report


def test_the_trainer_prints_its_stages(trainer_image: BuiltImage) -> None:
    ended = trainer_image.run("python", "-m", "tunewright_trainer", "check", "--help")

    assert ended.returncode == 0
    assert all(stage in ended.stdout for stage in ("check", "train", "export", "launch"))


def test_the_trainer_refuses_to_start_without_a_configuration(trainer_image: BuiltImage) -> None:
    ended = trainer_image.run("python", "-m", "tunewright_trainer", "check")

    assert ended.returncode == ExitCode.CONFIGURATION
    assert "TUNEWRIGHT_CONFIG" in ended.stderr


@pytest.mark.slow
def test_deepspeed_loads_its_op_from_the_image_and_compiles_nothing(trainer_image: BuiltImage) -> None:
    program = """
import os, logging
logging.basicConfig()
from tunewright_trainer.distributed.prebuild import use_prebuilt
use_prebuilt()
from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder
op = ShareMemCommBuilder().load()
print(os.path.dirname(op.__file__), hasattr(op, "initialize"), os.path.exists(os.environ["TORCH_EXTENSIONS_DIR"]))
"""

    said = trainer_image.python(program, DS_ACCELERATOR="cpu").splitlines()[-1]

    assert said == "/opt/tunewright/share/tunewright True False"


@pytest.mark.slow
def test_everything_that_trains_and_exports_can_be_imported(trainer_image: BuiltImage) -> None:
    program = """
import pathlib, importlib, tunewright_trainer
source = pathlib.Path(tunewright_trainer.__file__).parent
for file in sorted(source.glob("*/*.py")):
    importlib.import_module(".".join(("tunewright_trainer", file.parent.name, file.stem)))
import torch, deepspeed, transformers, trl, peft, bitsandbytes, datasets, onnxruntime_genai, onnxscript
print(torch.__version__.split("+")[0], transformers.__version__)
"""

    assert trainer_image.python(program, DS_ACCELERATOR="cpu", timeout=590).splitlines()[-1] == "2.13.0 5.23.0"


def _answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=10).status == 200
    except OSError:
        return False


def _model(address: str) -> str:
    return json.load(urllib.request.urlopen(f"{address}/v1/models", timeout=60))["data"][0]["id"]
