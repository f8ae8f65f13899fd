"""The state of each optimizer, as transformers, torch and bitsandbytes make it, against the optimizers' table."""

import pytest
from lazily import lazily

from tunewright_contract.capabilities.optimizers import OPTIMIZERS

torch = lazily("torch")
transformers = lazily("transformers")

WEIGHTS = 256 * 256  # enough for bitsandbytes to keep 8 bits
SCALES = 0.06  # bytes per weight: an fp32 scale for 256 values of each moment, and Adafactor's sums of rows and columns


def state_bytes(optim, folder):
    """Bytes of state per weight."""
    weight = torch.nn.Parameter(torch.zeros(256, 256))
    kind, arguments = transformers.Trainer.get_optimizer_cls_and_kwargs(
        transformers.TrainingArguments(output_dir=str(folder), use_cpu=True, optim=optim)
    )
    optimizer = kind([weight], **arguments)
    if hasattr(optimizer, "init_state"):  # bitsandbytes: a step would need its kernels
        optimizer.init_state(optimizer.param_groups[0], weight, 0, 0)
    else:
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    tensors = {name: value for name, value in optimizer.state[weight].items() if isinstance(value, torch.Tensor)}
    return sum(value.nbytes for name, value in tensors.items() if not name.startswith("qmap")) / WEIGHTS  # a table that all weights share


@pytest.mark.parametrize("optim", OPTIMIZERS.supported)
def test_the_table_has_the_bytes_of_each_optimizer_s_state(optim, tmp_path):
    assert state_bytes(optim, tmp_path) == pytest.approx(OPTIMIZERS[optim].state_bytes, abs=SCALES)
