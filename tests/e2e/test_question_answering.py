"""A reader from its manifest to served answers, with the real command line and real processes."""

import json
import re
import shutil
import signal
from typing import Any
from urllib.request import Request, urlopen

import pytest
from command_line import PATIENCE_SECONDS, ROOT, Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_SECONDS)]

NAME = "notice-reader"


def short(spec: dict[str, Any]) -> None:
    """A few steps, and fp32, so that an answer that is close to another stays what torch gave. Such a model cannot pass the smoke test."""
    spec["training"] |= {"maxSteps": 12, "evalSteps": 6, "saveSteps": 6}
    spec["output"]["onnx"]["precision"] = "fp32"
    del spec["serving"]["smokeTest"]


def served_answers(url: str, questions: list[str]) -> list[dict[str, Any]]:
    pairs = [dict(zip(("question", "context"), text.split("\n", 1), strict=True)) for text in questions]
    body = json.dumps({"model": NAME, "input": pairs}).encode()
    with urlopen(Request(f"{url}/question-answering", body, {"Content-Type": "application/json"}), timeout=60) as answer:
        return json.load(answer)["data"]


def test_the_served_answer_to_each_held_out_question_is_the_evaluated_one(place: Workplace):
    shutil.copytree(ROOT / "examples" / "reader", place.folder / "reader")
    place.write(short, example="question-answering")
    run = place.start("run", "job.yaml", "--keep-serving")
    url = run.until(lambda: re.search(r"serving \S+ at (\S+) until Ctrl-C", run.output))[1]
    (path,) = place.made("evaluation.json")
    answers = json.loads(path.read_text())["answers"]
    assert len(answers) == 60
    served = served_answers(url, [answer["question"] for answer in answers])
    assert [each["answer"] for each in served] == [answer["tuned"] for answer in answers]
    question, context = answers[0]["question"].split("\n", 1)
    (place.home / "notice.txt").write_text(context)
    said = place.tunewright("chat", NAME, question, "--context", str(place.home / "notice.txt"))
    assert said.stdout.strip() == (served[0]["answer"] or "(no answer)"), said.stderr
    assert run.send(signal.SIGINT) == 0
    status = json.loads(place.tunewright("get", NAME, "-o", "json").stdout)["status"]
    assert float(status["evaluation"]["tuned"]["loss"]) < float(status["evaluation"]["base"]["loss"])
    shown = place.tunewright("describe", NAME).stdout
    assert [word for word in ("exactMatch", "f1") if word not in shown] == []
    assert place.left_running() == []
