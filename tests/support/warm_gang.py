"""The process behind `gang.WarmGang`: imports once, then forks the ranks of each run it is told to do. One JSON line in; out come two:
the process ids at once, the exit codes at the end."""

import faulthandler
import json
import os
import resource
import sys
import traceback


def main() -> None:
    import datasets  # noqa: F401
    import deepspeed  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401

    import tunewright_trainer.trainer
    import tunewright_trainer.verify  # noqa: F401

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
        faulthandler.dump_traceback_later(60, repeat=True)  # a run that hangs says where
        world = str(order["world"])
        gang = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "LOCAL_SIZE": world}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(order["port"])}
        os.environ.update(order["env"] | gang | meeting | {"TORCHELASTIC_RUN_ID": "warm"})
        from tunewright_trainer.__main__ import main as stage

        code = stage(["train"])
    except BaseException:  # noqa: BLE001 - a forked rank must not return into the loop above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
