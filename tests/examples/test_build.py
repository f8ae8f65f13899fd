"""The script that trains the base model: in miniature, from a clean folder, and with invalid text."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MINIATURE = ["--generated", "300", "--steps", "3", "--vocab-size", "400", "--hidden-size", "128", "--layers", "2", "--threads", "1"]


@pytest.fixture
def build(examples, tmp_path):
    """Runs the script in miniature; what it wrote is in `tmp_path/model`."""

    def run(*arguments):
        command = [sys.executable, examples / "base-model" / "build.py", *MINIATURE, "--output", tmp_path / "model", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    return run


def test_a_small_build_writes_a_folder_that_transformers_loads(build, tmp_path):
    done = build()
    assert (done.returncode, "wrote" in done.stdout) == (0, True), done.stderr

    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path / "model"), AutoTokenizer.from_pretrained(tmp_path / "model")
    assert (model.config.num_hidden_layers, model.config.hidden_size, model.config.vocab_size) == (2, 128, len(tokenizer))
    assert "Taskmaster" not in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_given_dialogues_are_learned_from_and_attributed(build, tmp_path):
    line = json.dumps({"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]})
    (tmp_path / "given.jsonl").write_text(f"{line}\n" * 5, encoding="utf-8")
    done = build("--dialogues", tmp_path / "given.jsonl")
    assert "310 dialogues" in done.stdout, done.stderr
    assert "- 5 dialogues given" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", ["not json", '{"text": "no messages"}', '{"messages": [{"role": "user"}]}'])
def test_a_line_that_is_not_a_dialogue_is_named_and_no_file_is_written(build, tmp_path, line):
    (tmp_path / "bad.jsonl").write_text('{"messages": []}\n' + line + "\n", encoding="utf-8")
    done = build("--dialogues", tmp_path / "bad.jsonl")
    assert (done.returncode, f"{tmp_path / 'bad.jsonl'}:2: " in done.stderr) == (1, True)
    assert not (tmp_path / "model").exists()


def test_the_corpus_is_reproducible_and_has_no_ticket(examples):
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from corpus import dialogues;"
        "print(json.dumps([list(dialogues(seed=1, count=5000)), list(dialogues(seed=1, count=5000))]))"
    )
    done = subprocess.run([sys.executable, "-c", script, examples / "base-model"], capture_output=True, text=True, check=True)
    first, second = json.loads(done.stdout)
    assert first == second
    text = json.dumps(first)
    assert [mark in text for mark in ("ORDER:", "TABLE:", "RETURN:", "Copper")] == [False] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--dialogues", "nowhere.jsonl"], "no such file: nowhere.jsonl"), (["--hidden-size", "200"], "must be a multiple of 128")],
)
def test_arguments_that_cannot_work_are_refused_with_their_reason(build, tmp_path, arguments, said):
    done = build(*arguments)
    assert (done.returncode, said in done.stderr) == (2, True)
    assert not (tmp_path / "model").exists()
