"""A classifier from its manifest to served labels, with the real command line and real processes."""

import json
import re
import signal
from typing import Any
from urllib.request import Request, urlopen

import pytest
from command_line import PATIENCE_SECONDS, Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_SECONDS)]

NAME = "guest-intent"
QUESTION = "Can I book a table for three people on Sunday at 6 pm? The name is Zoe."


def short(spec: dict[str, Any]) -> None:
    """Steps enough to tell four labels apart; fp32, so that a label that is close to another stays what torch gave."""
    spec["training"] |= {"maxSteps": 24, "evalStrategy": "steps", "evalSteps": 12, "saveStrategy": "steps", "saveSteps": 12}
    spec["output"]["onnx"]["precision"] = "fp32"


def served_labels(url: str, texts: list[str]) -> list[str]:
    body = json.dumps({"model": NAME, "input": texts}).encode()
    with urlopen(Request(f"{url}/classify", body, {"Content-Type": "application/json"}), timeout=60) as answer:
        return [datum["label"] for datum in json.load(answer)["data"]]


def test_the_served_label_of_each_held_out_text_is_the_evaluated_one(place: Workplace):
    place.write(short, example="classification")
    run = place.start("run", "job.yaml", "--keep-serving", "--ask", QUESTION)
    url = run.until(lambda: re.search(r"serving \S+ at (\S+) until Ctrl-C", run.output))[1]
    (path,) = place.made("evaluation.json")
    answers = json.loads(path.read_text())["answers"]
    assert len(answers) == 60
    assert served_labels(url, [answer["question"] for answer in answers]) == [answer["tuned"] for answer in answers]
    said = place.tunewright("chat", NAME, QUESTION)
    assert said.stdout.strip() in {"order", "table", "return", "greeting"}, said.stderr
    assert f"served:    {said.stdout.strip()}" in run.output
    assert run.send(signal.SIGINT) == 0
    status = json.loads(place.tunewright("get", NAME, "-o", "json").stdout)["status"]
    assert status["data"]["labels"].startswith("4 labels: order ")
    assert float(status["evaluation"]["tuned"]["accuracy"]) > float(status["evaluation"]["base"]["accuracy"])
    shown = place.tunewright("describe", NAME).stdout
    assert [word for word in ("f1Macro", "accuracy", "labels") if word not in shown] == []
    assert "tokenAccuracy" not in shown
    assert place.left_running() == []
