"""The process behind `gang.WarmGang`: imports once, then forks the ranks of each requested run. One JSON line in; out come two:
the process ids at once, the exit codes at the end."""

import faulthandler
import json
import os
import resource
import sys
import traceback
from pathlib import Path


def main() -> None:
    import datasets  # noqa: F401
    import deepspeed  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401

    import tunewright_trainer.distributed.final
    import tunewright_trainer.recipes.trainers  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not pass for an answer
    for line in sys.stdin:
        order = json.loads(line)
        children = [_fork(order, rank) for rank in range(order["world"])]
        answers.write(json.dumps(children) + "\n")
        answers.flush()
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        answers.write(json.dumps(codes) + "\n")
        answers.flush()


def _fork(order: dict, rank: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        if order["file_size_limit"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size_limit"], order["file_size_limit"]))
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        faulthandler.dump_traceback_later(60, repeat=True)  # a run that hangs prints its stacks
        world = str(order["world"])
        gang = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "LOCAL_SIZE": world}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(order["port"])}
        os.environ.update(order["env"] | gang | meeting | {"TORCHELASTIC_RUN_ID": "warm"})
        if order["record"]:
            _record(f"{order['record']}-{rank}.jsonl")
        from tunewright_trainer.__main__ import main as stage

        code = stage(["train"])
    except BaseException:  # noqa: BLE001 - a forked rank must not return into the loop above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _record(file: str) -> None:
    """Write down which examples each step learns from: their token ids without the padding."""
    from tunewright_trainer.recipes.trainers import SFTTrainer

    train = SFTTrainer.training_step

    def training_step(self, model, inputs, *arguments, **named):
        pairs = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        examples = [ids[mask.bool()].tolist() for ids, mask in pairs]
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": self.state.global_step + 1, "examples": examples}) + "\n")
        return train(self, model, inputs, *arguments, **named)

    SFTTrainer.training_step = training_step


if __name__ == "__main__":
    main()
