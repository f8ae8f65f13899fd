"""`python -m tunewright_trainer check | launch | export`: does at once what the trainer takes minutes for.

`FAKE_HOLD`: `launch` waits until the file with this URI exists (a plain path below /tmp would be the pod's own). `FAKE_FAIL`: `<stage>=<exit code>` fails that stage,
with `FAKE_FAIL_WHILE` only while the file with this URI exists.
`FAKE_MODEL`: `export` publishes a copy of the model folder with this URI, which a real server can serve.
"""

import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from pathlib import Path

from tunewright_contract.environment import CONFIG, DATA_DIR, OUTPUT_DIR, PROGRESS_TOKEN_FILE, PROGRESS_URL, PUBLISH_DIR, TERMINATION_LOG
from tunewright_contract.folders import MANIFEST_NAME, RUN_MANIFEST_NAME, RunFolder
from tunewright_contract.reports import (
    Artifact,
    CheckReport,
    DataFacts,
    ExportReport,
    Failure,
    ModelFacts,
    ParityReport,
    Report,
    SplitFacts,
    TrainReport,
    dump,
)  # fmt: skip

STEPS = 4


def say(report: Report) -> None:
    Path(os.environ[TERMINATION_LOG]).write_text(dump(report))


def check() -> None:
    rows = sum(len(path.read_text().splitlines()) for path in Path(os.environ[DATA_DIR]).glob("*/*.jsonl"))
    model = ModelFacts(
        architecture="phi3", parameters=1000, trainable_parameters=10, linear_parameters=900, largest_layer_parameters=100,
        hidden_size=8, layers=2, vocab_size=32, context_length=64,
    )  # fmt: skip
    say(CheckReport(model=model, data=DataFacts(format="messages", sha256="0" * 64, train=SplitFacts(samples=rows)), exporter="genai"))


def launch() -> None:
    output = Path(os.environ[OUTPUT_DIR])
    output.mkdir(parents=True, exist_ok=True)
    rank = os.environ["PET_NODE_RANK"]
    if rank == "0":
        (output / RUN_MANIFEST_NAME).write_text(RunFolder(**job(), entries=["step-*"]).model_dump_json())
    saved = output / f"step-{rank}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"rank {rank} starts at step {saved.read_text() if saved.exists() else 0}", flush=True)
    saved.write_text("2")
    if rank == "0":
        while len(list(output.glob("step-*"))) < int(os.environ["PET_NNODES"]):  # a checkpoint is one when all ranks have written it
            time.sleep(0.01)
        post(
            f'{{"trainerStatus": {{"progressPercentage": 50, "metrics": [{{"name": "global_step", "value": "2"}}, {{"name": "max_steps", "value": "{STEPS}"}}]}}}}'
        )
    hold = os.environ.get("FAKE_HOLD", "").removeprefix("file://")
    while hold and not Path(hold).exists():
        time.sleep(0.01)
    if rank == "0":
        say(TrainReport(step=STEPS, max_steps=STEPS, train_loss=1.0))


def job() -> dict[str, str]:
    described = json.loads(Path(os.environ[CONFIG]).read_text())["job"]
    return {"namespace": described["namespace"], "job": described["name"], "uid": described["uid"], "revision": described["revision"]}


def export() -> None:
    folder = Path(os.environ[PUBLISH_DIR])
    if model := os.environ.get("FAKE_MODEL", "").removeprefix("file://"):
        shutil.copytree(model, folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_text("a model")
        (folder / MANIFEST_NAME).write_text(json.dumps({"lineage": {"uid": job()["uid"]}, "files": [{"path": "model.onnx"}]}))
    parity = ParityReport(max_logit_difference=0.0, mean_kl=0.0, top1_agreement=1.0, positions=1)
    say(
        ExportReport(
            artifacts=[Artifact(path=f"{folder.parent.name}/{folder.name}", precision="int8", bytes=7, sha256="0" * 64, parity=parity)]
        )
    )


def post(body: str) -> None:
    token = Path(os.environ[PROGRESS_TOKEN_FILE]).read_text()
    request = urllib.request.Request(os.environ[PROGRESS_URL], body.encode(), {"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        print("progress", answer.status, flush=True)


if __name__ == "__main__":
    stage, code = sys.argv[1], ""
    only_while = os.environ.get("FAKE_FAIL_WHILE", "").removeprefix("file://")
    if os.environ.get("FAKE_FAIL", "").startswith(f"{stage}=") and (not only_while or Path(only_while).exists()):
        code = os.environ["FAKE_FAIL"].partition("=")[2]
        print(f"{stage} fails as it was told to", flush=True)
        say(Failure(reason="FakeFailure", message="as it was told to", suggestion="do not tell it to"))
        sys.exit(int(code))
    try:
        {"check": check, "launch": launch, "export": export}[stage]()
    except OSError as error:  # such as a volume that is really full: reported as the trainer does
        from tunewright_trainer.common.exits import failure, stage_error

        found = stage_error(error)
        say(failure(found))
        sys.exit(int(found.code))
