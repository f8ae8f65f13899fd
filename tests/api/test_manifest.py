"""Manifests: all faults are reported together, in the order of lines, with column, field, value, reason and way out."""

import pytest
from manifest_text import HEAD

from tunewright.api.admission import ManifestError, read_job
from tunewright.api.explain import written
from tunewright.api.field_names import RENAMED
from tunewright.api.yaml_nodes import LARGEST_TEXT, LONGEST_PATH, MOST_NODES, MOST_PROBLEMS


def problems(text):
    with pytest.raises(ManifestError) as refused:
        read_job(text, "job.yaml")
    return refused.value.problems


def only(text):
    (problem,) = problems(text)
    return problem


def test_a_good_manifest_is_a_job():
    job = read_job(HEAD + "  training:\n    learningRate: 2e-4\n    maxSteps: 1e1\n    numTrainEpochs: 0.5\n    seed: 0x10\n", "job.yaml")
    assert job.metadata.name == "support-bot"
    assert job.spec.training.learning_rate == 0.0002
    assert job.spec.training.max_steps == 10
    assert job.spec.training.seed == 16


def test_an_empty_section_means_its_defaults():
    assert read_job(HEAD + "  training:\n  suspend: true\n", "job.yaml").spec.suspend is True


def test_anchors_are_read():
    job = read_job(HEAD + "    validation:\n      - &v {source: {path: v.jsonl}}\n    test:\n      - *v\n", "job.yaml")
    assert job.spec.data.validation == job.spec.data.test


def test_dates_are_text_as_they_are_in_json():
    assert read_job(HEAD.replace("name: support-bot", "name: 2026-01-01"), "job.yaml").metadata.name == "2026-01-01"


# what is appended to a good manifest -> (line, column, path, code, part of the message, part of the way out)
APPENDED = [
    ("  trainng: {}\n", (10, 3, "spec.trainng", "unknown field", "no such field", "Did you mean training?")),
    ("  xyzzy: {}\n", (10, 3, "spec.xyzzy", "unknown field", "no such field", "Known here: task, model, data")),
    ("  learningRate: 1\n", (10, 3, "spec.learningRate", "unknown field", "no such field", "It belongs to spec.training.learningRate.")),
    ("  training: {num_train_epochs: 1}\n", (10, 14, "spec.training.num_train_epochs", "unknown field", "", "Write numTrainEpochs")),
    ("  training: {evaluation_strategy: epoch}\n", (10, 14, "spec.training.evaluation_strategy", "unknown field", "", "spec.training.evalStrategy")),
    ("  training: {warmup_ratio: 0.1}\n", (10, 14, "spec.training.warmup_ratio", "unknown field", "", "spec.training.warmupSteps")),
    ("  training: {overwrite_output_dir: true}\n", (10, 14, "spec.training.overwrite_output_dir", "unknown field", "", "Remove it: every revision")),
    ("  training: {maxSteps: '5'}\n", (10, 14, "spec.training.maxSteps", "invalid value", "'5' should be a valid integer", "without quotes")),
    ("  training: {maxSteps: -2}\n", (10, 14, "spec.training.maxSteps", "invalid value", "-2 should be greater than or equal to -1", "Correct")),
    ("  training: {gradientCheckpointing: 1}\n", (10, 14, "spec.training.gradientCheckpointing", "invalid value", "1 should be a valid boolean", "")),
    ("  training: {precision: BF16}\n", (10, 14, "spec.training.precision", "invalid value", "'BF16' should be 'bf16'", "Did you mean bf16?")),
    ("  training: {precision: half}\n", (10, 14, "spec.training.precision", "invalid value", "'half'", "Choose one of these.")),
    ("  training: {learningRate: .inf}\n", (10, 14, "spec.training.learningRate", "invalid value", "inf should be a finite number", "")),
    ("  training: 5\n", (10, 3, "spec.training", "invalid value", "5 should be a map", "")),
    ("  training: [5]\n", (10, 3, "spec.training", "invalid value", "a list should be a map", "")),
    ("  workers: {image: 5}\n", (10, 13, "spec.workers.image", "invalid value", "5 should be a valid string", "in quotes")),
    ("  workers: {resources: {limits: {cpu: 1 GiB}}}\n", (10, 34, "spec.workers.resources.limits.cpu", "invalid value", "not well formed", "quantity")),
    ("  workers: {schedulerName: A b}\n", (10, 13, "spec.workers.schedulerName", "invalid value", "not well formed", "lower-case letters")),
    ("  serving: {servedModelName: ' x'}\n", (10, 13, "spec.serving.servedModelName", "invalid value", "not well formed", "Correct the value")),
    ("  serving: {resources: {limits: 1}}\n", (10, 25, "spec.serving.resources.limits", "invalid value", "1 should be a valid map", "")),
    ("  method: {lora: {targetModules: 7}}\n", (10, 19, "spec.method.lora.targetModules", "invalid value", "7 should be a valid string or should be a valid list", "")),
    ("  method: {lora: {r: true}}\n", (10, 19, "spec.method.lora.r", "invalid value", "true should be a valid integer", "")),
    ("  method: {adalora: {initR: 1}}\n", (10, 3, "spec.method", "E006", "would ignore the settings in adalora", "Remove those settings")),
    ("  suspend: yes\n", (10, 12, "spec.suspend", "ambiguous value", "yes without quotes", "or true or false")),
    ("  backoffLimit: 010\n", (10, 17, "spec.backoffLimit", "ambiguous value", "010 without quotes", "without leading zero")),
    ("  suspend: true\n  suspend: false\n", (11, 3, "spec.suspend", "malformed YAML", "given twice, first in line 10", "Keep one")),
    ("  suspend: !!python/name:os true\n", (10, 12, "spec.suspend", "malformed YAML", "tag", "Remove the tag")),
    ("  yes: 1\n", (10, 3, "spec.yes", "ambiguous value", "yes without quotes", "or true or false")),
    ("  suspend: !!bool maybe\n", (10, 12, "spec.suspend", "malformed YAML", "'maybe' is no bool", "Remove !!bool")),
    ("  suspend: !!set {a}\n", (10, 12, "spec.suspend", "malformed YAML", "set means nothing here", "Remove the tag")),
    (f"  backoffLimit: {'9' * 65}\n", (10, 17, "spec.backoffLimit", "malformed YAML", "65 characters; 64 are allowed", "a smaller number")),
    ('  suspend: "\\ud800"\n', (10, 12, "spec.suspend", "malformed YAML", "half a character", "the character itself")),
    ("  workers: {resources: {limits: {cpu: 10E}}}\n", (10, 34, "spec.workers.resources.limits.cpu", "invalid value", "above 9223372036854775807", "")),
    ("  <<: {suspend: true}\n", (10, 3, "spec", "malformed YAML", "plain text", "merge keys are not read")),
    ("  ? [a]\n  : 1\n", (10, 5, "spec", "malformed YAML", "plain text", "")),
    ("  deepspeed: {stage: 3, stage3Gather16bitWeightsOnModelSave: false}\n", (10, 25, "spec.deepspeed.stage3Gather16bitWeightsOnModelSave", "E204", "nothing to export", "true")),
    ("  data2: &a [*a]\n", (10, 10, "", "malformed YAML", "endless", "without aliases")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "want"), APPENDED, ids=[text.split("\n", maxsplit=1)[0].strip() for text, _ in APPENDED])
def test_one_mistake_is_one_problem_at_its_place(text, want):
    line, column, path, code, message, way_out = want
    problem = only(HEAD + text)
    assert (problem.line, problem.column, problem.path, problem.code) == (line, column, path, code)
    assert message in problem.message
    assert way_out in problem.way_out


# whole texts that are no job at all
TEXTS = [
    ("", (1, 1), "no document", "examples/"),
    ("# only a comment\n", (1, 1), "no document", "examples/"),
    ("- a\n", (1, 1), "no map of fields", "apiVersion"),
    ("just text", (1, 1), "no map of fields", "apiVersion"),
    (HEAD + "---\n" + HEAD, (10, 1), "another document", "one FineTuneJob per file"),
    ("a:\n\tb: 1\n", (2, 1), "'\\t'", "spaces"),
    ("a: [1\nb: 2\n", (2, 2), "flow sequence", "brackets"),
    ("a: b: c\n", (1, 5), "mapping values are not allowed", "quotes"),
    ("a: *b\n", (1, 4), "undefined alias", "quotes"),
    ("a: \x00\n", (1, 4), "special characters", "UTF-8"),
    ("a" * (LARGEST_TEXT + 1), (1, 1), "are allowed", "manifest"),
    ("[" * 5000, (1, 49), "more than 48 levels", "fewer levels"),
    ("[" + "0," * 2 * MOST_NODES + "0]", (1, 4 * MOST_NODES), "more than 10000 values", "fewer"),
    ('a: "\\U00110000"', (1, 2), "no character", "Correct it"),
    ("? " + "k" * LONGEST_PATH + "k\n: 1\n", (1, 3), "a name is too long", "Shorten it"),
]


@pytest.mark.parametrize(("text", "place", "message", "way_out"), TEXTS, ids=[repr(text[:12]) for text, *_ in TEXTS])
def test_a_text_that_is_not_a_job_is_refused(text, place, message, way_out):
    problem = only(text)
    assert (problem.line, problem.column) == place
    assert message in problem.message
    assert way_out in problem.way_out


def test_missing_fields_are_placed_at_the_part_that_lacks_them():
    problem = only(HEAD.replace("  task: ChatCompletion\n", ""))
    assert (problem.line, problem.path, problem.code) == (4, "spec.task", "missing field")


def test_a_manifest_without_spec_names_its_first_line():
    problem = only("apiVersion: tunewright.io/v1alpha1\nkind: FineTuneJob\nmetadata: {name: a}\n")
    assert (problem.line, problem.path) == (1, "spec")


def test_all_problems_come_at_once_sorted_by_line_and_printed_like_a_compiler_s():
    with pytest.raises(ManifestError) as refused:
        read_job(HEAD + "  suspend: off\n  training: {maxSteps: x}\n  evaluation: {maxSample: 3}\n", "job.yaml")
    assert str(refused.value).splitlines() == [
        "job.yaml:10:12: spec.suspend: off without quotes is another value to kubectl, which reads YAML 1.1 [ambiguous value]",
        '  way out: Write "off" for the text, or true or false.',
        "job.yaml:11:14: spec.training.maxSteps: 'x' should be a valid integer [invalid value]",
        "  way out: Correct the value.",
        "job.yaml:12:16: spec.evaluation.maxSample: there is no such field [unknown field]",
        "  way out: Did you mean maxSamples?",
    ]


def test_a_list_is_not_called_too_short_because_its_entries_are_wrong():
    assert [problem.path for problem in problems(HEAD + "        formatt: x\n")] == ["spec.data.train[0].formatt"]


def test_long_values_are_cut_in_messages():
    problem = only(HEAD + f"  task2: 1\n  training: {{precision: {'x' * 500}}}\n".replace("  task2: 1\n", ""))
    assert len(problem.message) < 150


def test_unknown_fields_of_metadata_are_named():
    assert only(HEAD.replace("name: support-bot", "name: a, lables: {}")).way_out == "Did you mean labels?"


def test_unknown_fields_below_a_scalar_or_list_do_not_confuse_the_search():
    assert only(HEAD + "  data3: {a: 1}\n").path == "spec.data3"


def test_a_hundred_problems_are_listed_and_the_others_counted():
    assert problems(HEAD + "".join(f"  a{count}: 1\n" for count in range(103)))[0].message == "3 more places are wrong"
    assert problems(HEAD + "  suspend: yes\n" * 103)[MOST_PROBLEMS].message == "more problems are not listed"


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_every_old_name_has_a_message(old):
    assert only(HEAD + f"  training: {{{old}: 1}}\n").way_out.startswith(("It is replaced by spec.", "Remove it: "))


def test_paths_are_written_with_dots_and_brackets():
    assert written(("spec", "data", "train", 0, "format")) == "spec.data.train[0].format"
