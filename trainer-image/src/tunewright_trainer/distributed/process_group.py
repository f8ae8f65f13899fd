"""The process group, and the few values that the ranks exchange.

Promises that the group has the planned size, and that it exists before DeepSpeed partitions anything.
"""

import logging
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.distributed.prebuild import use_prebuilt

log = logging.getLogger(__name__)


def join(settings: Settings) -> None:
    """Join the process group. Raises `StageError` when the gang is not the planned size."""
    actual = int(os.environ.get("WORLD_SIZE", "1"))
    planned = settings.config.world_size
    if actual != planned:
        raise StageError(
            ExitCode.CONFIGURATION,
            "WorldSizeMismatch",
            f"{actual} process(es) were started, and the job is planned for {planned}",
            "Start as many as planned (PET_NNODES x PET_NPROC_PER_NODE), or apply the job again with other workers.",
        )
    if planned == 1:
        _alone()
    import torch

    timeout = timedelta(seconds=int(settings.config.training.get("ddp_timeout", 1800)))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if settings.config.deepspeed is None:
        torch.distributed.init_process_group(backend, timeout=timeout)
        return
    if backend == "gloo":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # otherwise DeepSpeed searches for a GPU first, and warns
        use_prebuilt()
    import deepspeed

    # Before TrainingArguments and from_pretrained: under ZeRO-3 those partition the weights, and DeepSpeed assumes a world
    # size of 1 until a group exists.
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, timeout=timeout, verbose=False)
    if backend == "gloo":
        barrier()  # then every rank has mapped the others' buffers
        _unlink_shared_buffer()


def rank() -> int:
    """Return this process's rank in the gang."""
    import torch

    return int(torch.distributed.get_rank())


def world_size() -> int:
    """Return the number of processes in the gang."""
    import torch

    return int(torch.distributed.get_world_size())


def barrier() -> None:
    """Wait for every rank."""
    import torch

    torch.distributed.barrier()


def any_rank(flag: bool) -> bool:
    """Return whether the flag is set on any rank. Every rank must call this."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    told = torch.tensor([int(flag)], device=device)
    torch.distributed.all_reduce(told, op=torch.distributed.ReduceOp.MAX)
    return bool(told.item())


def from_rank_zero(value: Any) -> Any:
    """Return rank 0's value on every rank."""
    import torch

    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: Any) -> list[Any]:
    """Return every rank's value on every rank, in rank order."""
    import torch

    box: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(box, value)
    return box


def leave() -> None:
    """Leave the group, so that peers do not report a lost connection."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _unlink_shared_buffer() -> None:
    """Unlink the 66 MiB that DeepSpeed shares with the ranks of this node (`csrc/cpu/comm/shm.cpp`).

    The mapping stays until its processes end. DeepSpeed never unlinks it, so each run would leave its buffer in the machine's
    memory.
    """
    address, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
    Path(f"/dev/shm/deepspeed_allreduce_buffer_{os.getuid()}_{address}_{port}_{rank()}").unlink(missing_ok=True)  # noqa: S108


def _alone() -> None:
    """Set the rendezvous variables for a gang of one that was started without torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
        os.environ.setdefault(name, value)
