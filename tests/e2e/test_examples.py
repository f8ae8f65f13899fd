"""Each example of a task from its manifest to served answers, with the real command line and real processes.

A row trains its example for a few steps, and compares what the server answers to each held-out question with the evaluated answer. The
quickstart (ChatCompletion) has a file of its own, test_first_light.py.
"""

import json
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import openai
import pytest
from command_line import PATIENCE_SECONDS, ROOT, Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_SECONDS)]


def labels(url: str, name: str, texts: Sequence[str]) -> list[str]:
    return [datum["label"] for datum in post(f"{url}/classify", name, texts)]


def label_lists(url: str, name: str, texts: Sequence[str]) -> list[str]:
    return [", ".join(datum["labels"]) or "no label" for datum in post(f"{url}/classify", name, texts)]


def entities(url: str, name: str, texts: Sequence[str]) -> list[str]:
    found = [datum["entities"] for datum in post(f"{url}/token-classification", name, texts)]
    for text, each in zip(texts, found, strict=True):
        assert [text[entity["start"] : entity["end"]] for entity in each] == [entity["word"] for entity in each]
    return [", ".join(f"{entity['word']} ({entity['entity_group']})" for entity in each) or "no entities" for each in found]


def answers_in_a_context(url: str, name: str, texts: Sequence[str]) -> list[str]:
    pairs = [dict(zip(("question", "context"), text.split("\n", 1), strict=True)) for text in texts]
    return [datum["answer"] for datum in post(f"{url}/question-answering", name, pairs)]


def targets(url: str, name: str, texts: Sequence[str]) -> list[str]:
    client = openai.OpenAI(base_url=url, api_key="-")
    return [choice.text for choice in client.completions.create(model=name, prompt=list(texts), max_tokens=24, temperature=0).choices]


def post(url: str, name: str, inputs: Sequence[Any]) -> list[dict[str, Any]]:
    body = json.dumps({"model": name, "input": inputs}).encode()
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=60) as answer:
        return json.load(answer)["data"]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row. `training` shortens the example's own; `samples` is the number of questions that the evaluation answers."""

    file: str
    name: str
    training: dict[str, Any]
    served: Callable[[str, str, Sequence[str]], list[str]]
    better: dict[str, int]  # a score -> 1 if the tuned model's is above the base model's, -1 if it is below
    folder: str = ""  # of examples/, beside the data that each workplace has
    evaluation: dict[str, Any] | None = None
    samples: int = 60
    ask: str = ""  # a question for `--ask`, whose answer the run prints
    labels: str = ""  # how status.data.labels begins
    shown: tuple[str, ...] = ()  # words of `tunewright describe`
    hidden: tuple[str, ...] = ("tokenAccuracy",)


BY_STEPS = {"evalStrategy": "steps", "saveStrategy": "steps"}
EXAMPLES = (
    Example(
        file="classification",
        name="guest-intent",
        training={**BY_STEPS, "maxSteps": 24, "evalSteps": 12, "saveSteps": 12},  # enough to tell four labels apart
        served=labels,
        better={"accuracy": 1},
        ask="Can I book a table for three people on Sunday at 6 pm? The name is Zoe.",
        labels="4 labels: order ",
        shown=("f1Macro", "accuracy", "labels"),
    ),
    Example(
        file="multi-label",
        name="guest-requests",
        training={**BY_STEPS, "maxSteps": 24, "evalSteps": 12, "saveSteps": 12},
        served=label_lists,
        better={"f1Micro": 1},
        ask="Can I book a table for two on Friday at 7 pm? I want to return my blue mug, too, it is cracked. I am Ada.",
        labels="3 labels: ",
        shown=("f1Micro", "f1Macro", "accuracy", "labels"),
    ),
    Example(
        file="ner",
        name="guest-entities",
        training={**BY_STEPS, "maxSteps": 24, "evalSteps": 12, "saveSteps": 12},
        served=entities,
        better={"f1": 1},
        ask="This is Zoe. I want to return my blue mug, it is cracked.",
        labels="4 labels: ",
        shown=("f1", "precision", "recall", "accuracy", "labels"),
    ),
    Example(
        file="question-answering",
        name="notice-reader",
        training={"maxSteps": 12, "evalSteps": 6, "saveSteps": 6},
        served=answers_in_a_context,
        better={"loss": -1},
        folder="reader",
        shown=("exactMatch", "f1"),
    ),
    Example(
        file="translation",
        name="order-translator",
        training={"maxSteps": 30, "evalSteps": 15, "saveSteps": 15},
        served=targets,
        better={"loss": -1, "bleu": 1},
        folder="translator",
        evaluation={"generateSamples": 10},
        samples=10,
        shown=("bleu", "chrf"),
        hidden=(),
    ),
)


def shortened(example: Example) -> Callable[[dict[str, Any]], None]:
    """A few steps, and fp32, so that an answer that is close to another stays what torch gave. Such a model cannot pass a smoke test."""

    def change(spec: dict[str, Any]) -> None:
        spec["training"] |= example.training
        spec["output"]["onnx"]["precision"] = "fp32"
        spec.setdefault("evaluation", {}).update(example.evaluation or {})
        del spec["serving"]["smokeTest"]

    return change


IN_PODS = "classification"  # tests/node serves this example and compares its labels


@pytest.mark.parametrize(
    "example",
    [pytest.param(example, id=example.file, marks=[pytest.mark.repeat] if example.file == IN_PODS else []) for example in EXAMPLES],
)
def test_the_served_answer_to_each_held_out_question_is_the_evaluated_one(place: Workplace, example: Example):
    if example.folder:
        shutil.copytree(ROOT / "examples" / example.folder, place.folder / example.folder)
    place.write(shortened(example), example=example.file)
    run = place.start("run", "job.yaml", "--keep-serving", *(("--ask", example.ask) if example.ask else ()))
    url = run.until(lambda: re.search(r"serving \S+ at (\S+) until Ctrl-C", run.output))[1]
    (path,) = place.made("evaluation.json")
    answers = json.loads(path.read_text())["answers"]
    assert len(answers) == example.samples
    served = example.served(url, example.name, [answer["question"] for answer in answers])
    assert served == [answer["tuned"] for answer in answers]
    assert chat(place, example.name, answers[0]["question"]) == (served[0] or "(no answer)")
    if example.ask:
        assert f"served:    {chat(place, example.name, example.ask)}\n" in run.output
    assert run.send(signal.SIGINT) == 0
    status = json.loads(place.tunewright("get", example.name, "-o", "json").stdout)["status"]
    base, tuned = status["evaluation"]["base"], status["evaluation"]["tuned"]
    assert {score: sign for score, sign in example.better.items() if sign * (float(tuned[score]) - float(base[score])) <= 0} == {}
    assert status["data"].get("labels", "").startswith(example.labels)
    described = place.tunewright("describe", example.name).stdout
    assert [word for word in example.shown if word not in described] == []
    assert [word for word in example.hidden if word in described] == []
    assert place.left_running() == []


def chat(place: Workplace, name: str, question: str) -> str:
    """Return what `tunewright chat` prints. The lines below a question are its context, which comes from a file."""
    first, _, context = question.partition("\n")
    (place.home / "notice.txt").write_text(context)
    said = place.tunewright("chat", name, first, *(("--context-file", str(place.home / "notice.txt")) if context else ()))
    assert said.returncode == 0, said.stderr
    return said.stdout.strip()
