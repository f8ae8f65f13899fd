"""A tagger of words from its manifest to served entities, with the real command line and real processes."""

import json
import re
import signal
from typing import Any
from urllib.request import Request, urlopen

import pytest
from command_line import PATIENCE_SECONDS, Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_SECONDS)]

NAME = "guest-entities"
QUESTION = "This is Zoe. I want to return my blue mug, it is cracked."


def short(spec: dict[str, Any]) -> None:
    """Steps enough to tell four types apart; fp32, so that a tag that is close to another stays what torch gave."""
    spec["training"] |= {"maxSteps": 24, "evalStrategy": "steps", "evalSteps": 12, "saveStrategy": "steps", "saveSteps": 12}
    spec["output"]["onnx"]["precision"] = "fp32"
    del spec["serving"]["smokeTest"]


def served_entities(url: str, texts: list[str]) -> list[list[dict[str, Any]]]:
    body = json.dumps({"model": NAME, "input": texts}).encode()
    with urlopen(Request(f"{url}/token-classification", body, {"Content-Type": "application/json"}), timeout=60) as answer:
        return [datum["entities"] for datum in json.load(answer)["data"]]


def test_the_served_entities_of_each_held_out_text_are_the_evaluated_ones(place: Workplace):
    place.write(short, example="ner")
    run = place.start("run", "job.yaml", "--keep-serving", "--ask", QUESTION)
    url = run.until(lambda: re.search(r"serving \S+ at (\S+) until Ctrl-C", run.output))[1]
    (path,) = place.made("evaluation.json")
    answers = json.loads(path.read_text())["answers"]
    assert len(answers) == 60
    found = served_entities(url, [answer["question"] for answer in answers])
    shown = [", ".join(f"{each['word']} ({each['entity_group']})" for each in entities) or "no entities" for entities in found]
    assert shown == [answer["tuned"] for answer in answers]
    assert all(
        answer["question"][each["start"] : each["end"]] == each["word"]
        for answer, entities in zip(answers, found, strict=True)
        for each in entities
    )
    said = place.tunewright("chat", NAME, QUESTION)
    assert "Zoe (PER)" in said.stdout, said.stderr
    assert f"served:    {said.stdout.strip()}" in run.output
    assert run.send(signal.SIGINT) == 0
    status = json.loads(place.tunewright("get", NAME, "-o", "json").stdout)["status"]
    assert status["data"]["labels"].startswith("4 labels: ")
    assert float(status["evaluation"]["tuned"]["f1"]) > float(status["evaluation"]["base"]["f1"])
    shown = place.tunewright("describe", NAME).stdout
    assert [word for word in ("f1", "precision", "recall", "accuracy", "labels") if word not in shown] == []
    assert place.left_running() == []
