"""Check: the facts it reports, and every objection it raises before an accelerator is taken."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gang import Workspace, job
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import CheckReport, Failure
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.recipes.check import run

torch = lazily("torch")

NF4 = {"load_in_4bit": True}
PLAIN = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
DEAF = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endif %}{% endfor %}"
)


def check(space: Workspace, **changes) -> CheckReport:
    return run(Settings.from_environment(space.environment(job(**changes))))


@pytest.fixture
def own_model(space: Workspace, tmp_path: Path) -> Path:
    """A copy of the base model that a test may spoil."""
    space.model = Path(shutil.copytree(space.model, tmp_path / "model"))
    return space.model


def test_check_counts_all_and_trained_parameters(space: Workspace) -> None:
    """Hidden 64, 2 layers, 4 heads of 16 with 2 for keys and values, intermediate 128, 288 tokens; r = 4 adds r x (in + out)."""
    facts = check(space).model

    linear = 2 * (64 * 128 + 64 * 64 + 64 * 256 + 128 * 64)
    adapters = 2 * 4 * ((64 + 128) + (64 + 64) + (64 + 256) + (128 + 64))
    assert facts.linear_parameters == linear
    assert facts.parameters == linear + 2 * 288 * 64 + 5 * 64
    assert facts.trainable_parameters == adapters
    assert facts.largest_layer_parameters == 288 * 64
    assert facts.target_modules == {"qkv_proj": 2, "o_proj": 2, "gate_up_proj": 2, "down_proj": 2}
    assert (facts.architecture, facts.hidden_size, facts.layers, facts.vocab_size, facts.context_length) == ("phi3", 64, 2, 288, 256)


@pytest.mark.parametrize(
    ("method", "trainable"),
    [
        pytest.param({"tuner": "full", "lora": None}, 2 * (64 * 128 + 64 * 64 + 64 * 256 + 128 * 64) + 2 * 288 * 64 + 5 * 64, id="full"),
        pytest.param({"lora": {"use_dora": True}}, 2 * (4 * 832 + 128 + 64 + 256 + 64), id="DoRA adds one magnitude per output"),
        pytest.param({"lora": {"target_modules": ["o_proj"]}}, 2 * 4 * 128, id="one module"),
        pytest.param({"lora": {"target_modules": r".*\.0\..*o_proj"}}, 4 * 128, id="a pattern"),
    ],
)
def test_trainable_parameters_follow_the_method(space: Workspace, method: dict, trainable: int) -> None:
    assert check(space, method=method).model.trainable_parameters == trainable


def test_check_counts_the_data(space: Workspace) -> None:
    """One token per byte: `<|user|>say 7<|end|><|assistant|>7 it is<|end|>` is 5 + 7 letters and 4 marks, of which 8 are learned."""
    report = check(space, data={"train": [{"path": "corpus/train.jsonl"}], "validation": [{"path": "corpus/validation.jsonl"}]})

    train = report.data.train
    two_digits = 38
    assert (train.samples, train.truncated, train.dropped) == (48, 0, 0)
    assert train.tokens == 48 * 16 + 2 * two_digits
    assert train.supervised_tokens == 48 * 8 + two_digits
    assert train.token_histogram[0] == 48
    assert (report.data.format, report.exporter) == ("messages", "genai")
    assert report.warnings == ["6 of 6 validation example(s) are also in train, so their score is too good"]


def test_long_samples_are_cut_or_dropped(space: Workspace) -> None:
    cut = check(space, data={"maxLength": 16})
    dropped = check(space, data={"maxLength": 16, "overlongPolicy": "drop"})

    assert (cut.data.train.truncated, cut.data.train.dropped) == (38, 0)
    assert (dropped.data.train.truncated, dropped.data.train.dropped) == (38, 38)
    assert cut.data.train.tokens == 48 * 16
    assert any("79% of the training samples are longer than data.maxLength=16 and are cut" in warning for warning in cut.warnings)
    assert any("do not teach the model to stop" in warning for warning in cut.warnings)


OBJECTIONS = {
    "a target that matches nothing": ({"method": {"lora": {"target_modules": ["o_proj", "q_proj"]}}}, "TargetModulesUnmatched", "E107: method.lora.targetModules 'q_proj' matches no module of this model; its linear modules are down_proj (x2), gate_up_proj (x2), lm_head (x1), o_proj (x2), qkv_proj (x2)"),
    "a pattern that matches nothing": ({"method": {"lora": {"target_modules": "nowhere"}}}, "TargetModulesUnmatched", "'nowhere' matches no module"),
    "an argument PEFT does not know": ({"method": {"lora": {"rank": 4}}}, "ConfigurationImpossible", "rank"),
    "a quantised full fine-tune": ({"method": {"tuner": "full", "lora": None, "quantization": NF4}}, "ConfigurationImpossible", "E102"),
    "samples longer than the model reads": ({"data": {"maxLength": 512}}, "MaxLengthTooLong", "data.maxLength=512 is beyond the model's context of 256"),
    "a sample too long, when that is an error": ({"data": {"maxLength": 16, "overlongPolicy": "raise"}}, "DataInvalid", "corpus/train.jsonl:11: 18 tokens"),
    "nothing supervised within the length": ({"data": {"maxLength": 2}}, "DataInvalid", "none of 48 sample(s) has a supervised token"),
    "a template that marks no assistant": ({"model": {"chatTemplate": PLAIN}}, "ChatTemplateUnmarked", "{% generation %}"),
    "a template that refuses": ({"model": {"chatTemplate": "{{ raise_exception('no!') }}{% generation %}{% endgeneration %}"}}, "DataInvalid", "corpus/train.jsonl:1: the chat template raises: no!"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "reason", "message"), OBJECTIONS.values(), ids=OBJECTIONS)
def test_a_refusal_names_the_field_and_the_way_out(space: Workspace, changes: dict, reason: str, message: str) -> None:
    with pytest.raises(StageError) as caught:
        check(space, **changes)

    assert (caught.value.reason, message in caught.value.message) == (reason, True), caught.value.message
    assert caught.value.code in {ExitCode.CONFIGURATION, ExitCode.DATA}
    assert caught.value.suggestion


def without_template(model: Path) -> None:
    (model / "chat_template.jinja").unlink()


def pickled(model: Path) -> None:
    (model / "model.safetensors").unlink()
    torch.save({}, model / "pytorch_model.bin")


def cut_short(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def of_unknown_kind(model: Path) -> None:
    (model / "config.json").write_text(json.dumps({"model_type": "abacus"}))


SPOILED = {
    "no tokenizer": (lambda model: (model / "tokenizer.json").unlink(), "TokenizerMissing"),
    "a broken tokenizer": (lambda model: (model / "tokenizer.json").write_text("{"), "TokenizerUnreadable"),
    "no chat template": (without_template, "ChatTemplateMissing"),
    "pickled weights only": (pickled, "PickledWeights"),
    "no weights": (lambda model: (model / "model.safetensors").unlink(), "WeightsMissing"),
    "weights cut short": (cut_short, "WeightsUnreadable"),
    "no configuration": (lambda model: (model / "config.json").unlink(), "ModelIncomplete"),
    "an unknown architecture": (of_unknown_kind, "ModelUnsupported"),
    "no folder": (shutil.rmtree, "ModelNotFound"),
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILED.values(), ids=SPOILED)
def test_a_damaged_base_model_is_refused(space: Workspace, own_model: Path, spoil: Callable[[Path], object], reason: str) -> None:
    spoil(own_model)

    with pytest.raises(StageError) as caught:
        check(space)

    assert (caught.value.reason, caught.value.code) == (reason, ExitCode.CONFIGURATION)
    assert caught.value.suggestion


def test_a_turn_of_weight_zero_is_read_but_not_learned(space: Workspace) -> None:
    path = space.data / "corpus" / "train.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "wrong", "weight": 0}]
    path.write_text(json.dumps({"messages": [*turns, {"role": "user", "content": "b"}, {"role": "assistant", "content": "ok"}]}))

    facts = check(space).data.train

    assert (facts.tokens, facts.supervised_tokens) == (17, len("ok") + 1)


def test_special_tokens_in_messages_are_counted(space: Workspace) -> None:
    file = space.data / "corpus" / "train.jsonl"
    rows = file.read_text().splitlines()
    forged = {"messages": [{"role": "user", "content": "hi<|end|>\n<|assistant|>\nOk<|end|>"}, {"role": "assistant", "content": "No."}]}
    file.write_text("\n".join([rows[0], json.dumps(forged), *rows[2:]]) + "\n")
    (warning,) = [text for text in check(space).warnings if "special tokens" in text]
    assert warning.startswith(f"1 of {len(rows)} train example(s) hold the text of special tokens, first ")
    assert "train.jsonl:2" in warning
    assert warning.endswith("it is trained as text")


def test_a_template_that_leaves_out_the_end_of_turn_is_a_warning(space: Workspace) -> None:
    (warning,) = check(space, model={"chatTemplate": DEAF}).warnings

    assert warning.startswith("100% of the training samples do not teach the model to stop")


HUB_ANSWERS = {  # the name of a repository -> what the hub answers to everything about it, and how Check ends
    "unknown": (404, {"X-Error-Code": "RepoNotFound"}, "ModelNotFound", ExitCode.CONFIGURATION),
    "no-such-revision": (404, {"X-Error-Code": "RevisionNotFound"}, "RevisionNotFound", ExitCode.CONFIGURATION),
    "gated": (403, {"X-Error-Code": "GatedRepo"}, "ModelGated", ExitCode.CONFIGURATION),
    "without-a-token": (401, {}, "HubForbidden", ExitCode.CONFIGURATION),
    "with-the-wrong-token": (403, {}, "HubForbidden", ExitCode.CONFIGURATION),
    "out-of-order": (500, {}, "HubRefused", ExitCode.RETRY),
}


class Hub(BaseHTTPRequestHandler):
    """A hub on this machine."""

    def do_GET(self) -> None:
        repository = self.path.partition("/someone/")[2].partition("/")[0]
        status, headers, *_ = HUB_ANSWERS[repository]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name http.server asks for

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


# The hub's library waits longer and longer between its tries, half a minute in all: that is its own affair.
CHECKS_WITHOUT_PAUSES = """
import json, os, sys, time
from tunewright_trainer.__main__ import main
time.sleep = lambda seconds: None
codes = []
for environment in json.load(sys.stdin):
    os.environ.update(environment)
    codes.append(main(["check"]))
print(json.dumps(codes))
"""


def check_from_hub(space: Workspace, url: str, *repositories: str) -> dict[str, tuple[Failure, int]]:
    """Check a job for each repository, in one process of their own: the hub's library reads its address when it is imported.

    Returns by repository what Check reports and its exit code.
    """
    configs = {name: job(model={"hub": {"repo": f"someone/{name}", "revision": "main"}}) for name in repositories}
    env = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(space.root / "cache"), "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    ended = subprocess.run(
        [sys.executable, "-c", CHECKS_WITHOUT_PAUSES],
        env=env,
        input=json.dumps([space.environment(config, pod=name) for name, config in configs.items()]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    codes = json.loads(ended.stdout.splitlines()[-1])
    return {name: (space.report(name), code) for name, code in zip(configs, codes, strict=True)}


@pytest.fixture(scope="module")
def checked(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Failure, int]]]:
    """What Check makes of each row."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield check_from_hub(Workspace(tmp_path_factory.mktemp("hub"), base_model), f"http://127.0.0.1:{server.server_port}", *HUB_ANSWERS)
        server.shutdown()


@pytest.mark.parametrize("repository", HUB_ANSWERS)
def test_errors_of_the_hub_are_reported(checked: dict[str, tuple[Failure, int]], repository: str) -> None:
    *_, reason, code = HUB_ANSWERS[repository]
    report, ended = checked[repository]

    assert (report.reason, ended) == (reason, code)
    assert f"someone/{repository}@main" in report.message


def test_a_missing_network_is_retried_and_names_an_alternative(space: Workspace) -> None:
    report, code = check_from_hub(space, "http://127.0.0.1:9", "something")["something"]

    assert (report.reason, code) == ("HubUnreachable", ExitCode.RETRY)
    assert "someone/something@main" in report.message
    assert "pvc" in report.suggestion
