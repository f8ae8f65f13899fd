"""The order of training examples, independent of the number of processes that share one global batch.

Promises that global batch `k` of an epoch holds the same examples with one process as with sixteen, so that a gang with another number of
workers resumes at the right example. The last batch of an epoch is filled up from the epoch's beginning. Libraries fill it differently for
each number of processes, which would also change the number of steps per epoch.
"""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class GlobalOrder(Sampler[int]):
    """Indices of one epoch, a whole number of global batches. `lengths` groups examples of similar length into a batch."""

    def __init__(self, size: int, *, global_batch: int, seed: int, shuffle: bool = True, lengths: Sequence[int] | None = None) -> None:
        self._size = size
        self._global_batch = global_batch
        self._seed = seed
        self._shuffle = shuffle
        self._lengths = lengths
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._size // self._global_batch) * self._global_batch

    def __iter__(self) -> Iterator[int]:
        indices = self._indices()
        return (indices[place % self._size] for place in range(len(self)))

    def _indices(self) -> list[int]:
        if not self._shuffle:
            return list(range(self._size))
        chance = torch.Generator().manual_seed(self._seed + self._epoch)
        if self._lengths is not None:
            return list(get_length_grouped_indices(self._lengths, self._global_batch, generator=chance))
        order: list[int] = torch.randperm(self._size, generator=chance).tolist()
        return order
