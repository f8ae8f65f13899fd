"""A translator from its manifest to served targets, with the real command line and real processes."""

import json
import re
import shutil
import signal
from typing import Any

import openai
import pytest
from command_line import PATIENCE_SECONDS, ROOT, Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_SECONDS)]

NAME = "order-translator"


def short(spec: dict[str, Any]) -> None:
    """A few steps, and fp32, so that a token that is close to another stays what torch gave. Such a model cannot pass the smoke test."""
    spec["training"] |= {"maxSteps": 30, "evalSteps": 15, "saveSteps": 15}
    spec["output"]["onnx"]["precision"] = "fp32"
    spec["evaluation"]["generateSamples"] = 10
    del spec["serving"]["smokeTest"]


def test_the_served_target_of_each_held_out_source_is_the_evaluated_one(place: Workplace):
    shutil.copytree(ROOT / "examples" / "translator", place.folder / "translator")
    place.write(short, example="translation")
    run = place.start("run", "job.yaml", "--keep-serving")
    url = run.until(lambda: re.search(r"serving \S+ at (\S+) until Ctrl-C", run.output))[1]
    (path,) = place.made("evaluation.json")
    answers = json.loads(path.read_text())["answers"]
    assert len(answers) == 10
    client = openai.OpenAI(base_url=url, api_key="-")
    served = client.completions.create(model=NAME, prompt=[each["question"] for each in answers], max_tokens=24, temperature=0)
    assert [choice.text for choice in served.choices] == [each["tuned"] for each in answers]
    said = place.tunewright("chat", NAME, answers[0]["question"])
    assert said.stdout.strip() == answers[0]["tuned"], said.stderr
    assert run.send(signal.SIGINT) == 0
    evaluation = json.loads(place.tunewright("get", NAME, "-o", "json").stdout)["status"]["evaluation"]
    assert float(evaluation["tuned"]["loss"]) < float(evaluation["base"]["loss"])
    assert float(evaluation["tuned"]["bleu"]) > float(evaluation["base"]["bleu"])
    assert place.left_running() == []
