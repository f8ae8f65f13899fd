"""The order of examples: one global batch is the same set of examples, however many processes share it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lazily import lazily

torch = lazily("torch")
data_loader = lazily("accelerate.data_loader")
global_order = lazily("tunewright_trainer.distributed.order")


def global_batches(order: "global_order.GlobalOrder", *, processes: int, each: int, passes: int) -> Iterator[list[int]]:
    """What the processes of a gang read together for each optimizer step, through accelerate's own sharding."""
    shards = [
        list(data_loader.BatchSamplerShard(torch.utils.data.BatchSampler(order, each, drop_last=False), processes, rank))
        for rank in range(processes)
    ]
    for start in range(0, len(shards[0]), passes):
        yield sorted(example for shard in shards for batch in shard[start : start + passes] for example in batch)


@given(
    size=st.integers(1, 200),
    shares=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4)),
    epoch=st.integers(0, 5),
    kind=st.sampled_from(["random", "sequential", "grouped"]),
)
def test_every_number_of_processes_reads_the_same_global_batches(size, shares, epoch, kind):
    processes, each, passes = shares
    lengths = [example % 7 for example in range(size)] if kind == "grouped" else None
    order = global_order.GlobalOrder(size, global_batch=processes * each * passes, seed=3, shuffle=kind != "sequential", lengths=lengths)
    order.set_epoch(epoch)
    alone = list(global_batches(order, processes=1, each=1, passes=processes * each * passes))

    together = list(global_batches(order, processes=processes, each=each, passes=passes))

    assert together == alone
    assert {example for batch in alone for example in batch} == set(range(size)), "each example in each epoch"


@pytest.mark.parametrize(
    ("want", "size", "global_batch"),
    [([0, 1, 2, 3], 4, 2), ([0, 1, 2, 3, 4, 0], 5, 3), ([0, 1, 0, 1, 0], 2, 5)],
    ids=["even", "filled up from the beginning", "fewer examples than a batch"],
)
def test_an_epoch_is_a_whole_number_of_batches(want, size, global_batch):
    order = global_order.GlobalOrder(size, global_batch=global_batch, seed=0, shuffle=False)
    assert list(order) == want
    assert len(order) == len(want)


def test_epochs_and_seeds_differ_and_are_reproducible():
    def epoch(number: int, seed: int = 7) -> list[int]:
        order = global_order.GlobalOrder(50, global_batch=5, seed=seed)
        order.set_epoch(number)
        return list(order)

    assert epoch(1) == epoch(1)
    assert epoch(0) != epoch(1)
    assert epoch(0, seed=7) != epoch(0, seed=8)


def test_examples_of_similar_length_share_a_batch():
    lengths = [1, 100] * 20
    order = global_order.GlobalOrder(40, global_batch=4, seed=0, lengths=lengths)
    batches = [[lengths[example] for example in batch] for batch in global_batches(order, processes=2, each=2, passes=1)]
    assert sum(len(set(batch)) == 1 for batch in batches) >= len(batches) // 2
