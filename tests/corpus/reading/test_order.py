"""Who reads which image when: complete, disjoint, resumable, and the same for any number of
ranks.
"""

from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch

from corpus.reading.resampling import epoch_list
from corpus.reading.sampler import Order, blockwise, seeded

IMAGES = 103


def shuffled(generator, n=IMAGES):
    return torch.randperm(n, generator=generator)


REPEATS = np.tile(np.array([1, 1.5, 3], np.float32), 34)
REPEATED = partial(epoch_list, REPEATS)
LISTS = {
    "shuffled": shuffled,
    "repeated": REPEATED,
    "blocks": blockwise(shuffled, block=8, window=3),
    "repeated blocks": blockwise(REPEATED, block=8, window=3),
}


def read(order: Order, epoch: int, step: int = 0, **workers) -> list[tuple[int, list[int]]]:
    """(step, images) of the rest of one epoch."""
    count = len(
        range(step, order.steps(epoch))[workers.get("worker", 0) :: workers.get("workers", 1)]
    )
    return [
        (number, indices.tolist())
        for _, number, indices in islice(order.batches(epoch, step, **workers), count)
    ]


def counts(entries) -> list[int]:
    return torch.bincount(torch.as_tensor(entries), minlength=IMAGES).tolist()


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize(("world", "workers"), [(1, 1), (1, 3), (2, 1), (4, 2)])
@pytest.mark.parametrize("epoch", [0, 5])
def test_every_entry_of_the_list_is_read_exactly_once(lists, world, workers, epoch):
    every = []
    for rank in range(world):
        order = Order(lists, 16, seed=3, world=world, rank=rank, drop_last=False)
        for worker in range(workers):
            every += [
                i
                for _, images in read(order, epoch, worker=worker, workers=workers)
                for i in images
            ]
        assert order.left_over(epoch) == 0
    assert counts(every) == counts(lists(seeded(3, 1, epoch)))


def test_images_come_as_often_as_their_factor_says():
    drawn = counts(Order(LISTS["repeated blocks"], 16, seed=0).epoch(2))[: len(REPEATS)]
    assert all(np.floor(r) <= n <= np.ceil(r) for n, r in zip(drawn, REPEATS, strict=True))
    assert sum(drawn) == REPEATS.sum()


@pytest.mark.parametrize("world", [1, 2, 8])
def test_ranks_are_disjoint_equal_in_size_and_leave_the_same_end_over(world):
    orders = [Order(shuffled, 16, seed=1, world=world, rank=rank) for rank in range(world)]
    ranks = [[i for _, images in read(order, 0) for i in images] for order in orders]
    assert {order.steps(0) for order in orders} == {6} and {
        order.left_over(0) for order in orders
    } == {103 - 96}
    assert all(len(images) == 96 // world for images in ranks)
    assert len(set().union(*ranks)) == 96
    assert set(range(IMAGES)) - set().union(*ranks) == set(shuffled(seeded(1, 1, 0))[96:].tolist())


def test_the_last_smaller_step_is_dealt_evenly():
    sizes = [
        [len(images) for _, images in read(Order(shuffled, 16, 0, 4, r, drop_last=False), 0)]
        for r in range(4)
    ]
    assert [rank[:-1] for rank in sizes] == [[4] * 6] * 4 and [rank[-1] for rank in sizes] == [
        2,
        2,
        2,
        1,
    ]


@pytest.mark.parametrize(
    ("images", "sizes"), [(33, [16, 17]), (34, [16, 16, 2]), (32, [16, 16]), (17, [17]), (1, [1])]
)
@pytest.mark.parametrize("world", [1, 3])
def test_an_image_that_would_be_alone_joins_the_step_before_whatever_the_number_of_ranks(
    images, sizes, world
):
    orders = [
        Order(partial(shuffled, n=images), 16, 0, world, rank, drop_last=False)
        for rank in range(world)
    ]
    steps = [
        [images for order in orders for images in order.indices(0, step)]
        for step in range(orders[0].steps(0))
    ]
    assert [len(step) for step in steps] == sizes
    assert torch.tensor([i for step in steps for i in step]).equal(orders[0].epoch(0)), (
        "each once, in order"
    )
    assert {order.part(0, len(sizes) - 1)[2] for order in orders} == {sizes[-1]}


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("workers", [1, 3])
def test_going_on_at_any_step_equals_never_having_stopped(lists, workers):
    def sequence(epoch, step, worker, n):
        order = Order(lists, 16, seed=4, world=2, rank=1)
        found = islice(order.batches(epoch, step, worker, workers), n)
        return [(epoch, step, indices.tolist()) for epoch, step, indices in found]

    for worker in range(workers):
        whole = sequence(0, 0, worker, 15)
        assert {epoch for epoch, _, _ in whole} >= {0, 1}
        for done, (epoch, step, _) in enumerate(whole):
            assert sequence(epoch, step, worker, 15 - done) == whole[done:]


def test_workers_in_turn_are_the_ranks_sequence():
    order = Order(shuffled, 8, seed=0)
    one, parts = read(order, 1), [read(order, 1, worker=w, workers=3) for w in range(3)]
    assert [parts[step % 3][step // 3] for step, _ in one] == one


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_another_number_of_ranks_goes_on_with_the_same_images_at_each_step(lists):
    def step(world, number):
        parts = [
            Order(lists, 16, 9, world, rank).indices(2, number).tolist() for rank in range(world)
        ]
        return [i for part in parts for i in part]

    for number in range(6):
        assert step(1, number) == step(2, number) == step(4, number) == step(16, number)


def test_one_rank_reads_the_epochs_list_in_order():
    for epoch in range(3):
        expected = shuffled(seeded(7, 1, epoch))[:96].view(6, 16).tolist()
        assert [images for _, images in read(Order(shuffled, 16, seed=7), epoch)] == expected


def test_seed_and_epoch_change_the_order():
    drawn = [
        tuple(Order(LISTS["blocks"], 16, seed).epoch(e).tolist()) for seed in (0, 1) for e in (0, 1)
    ]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize(
    ("batch", "world", "rank"), [(0, 1, 0), (2, 3, 0), (16, 2, 2), (16, 2, -1)]
)
def test_what_cannot_be_dealt_is_refused(batch, world, rank):
    with pytest.raises(ValueError, match="cannot be dealt to rank"):
        Order(shuffled, batch, 0, world, rank)


def test_an_epoch_without_a_step_is_refused():
    with pytest.raises(ValueError, match="103 images fill no batch of 104"):
        next(Order(shuffled, 104, 0).batches())
    with pytest.raises(ValueError, match="at least 1"):
        blockwise(shuffled, 0, 4)


def test_blocks_stay_together_and_move_as_uniformly_as_single_images_would():
    n, block, window = 960, 16, 4
    lists = blockwise(partial(shuffled, n=n), block, window)
    first = torch.stack([lists(seeded(0, 1, epoch)) for epoch in range(400)])
    where = first.argsort(1)  # of each image in each epoch
    spans = where.view(400, -1, block).amax(2) - where.view(400, -1, block).amin(2)
    assert spans.max() < block * window
    # each image is anywhere with equal chance: its mean place of 400 has a standard error of n /
    # sqrt(12 * 400)
    error = n / (12 * 400) ** 0.5
    assert (where.double().mean(0) - (n - 1) / 2).abs().max() < 5 * error
    # neighbours in a list share their block once in `window` times (without replacement), not once
    # in n / block
    share = (first[:, 1:] // block == first[:, :-1] // block).double().mean().item()
    assert share == pytest.approx((block - 1) / (block * window - 1), abs=0.02)
    # and two blocks are in one window as often as chance has it
    together = (
        (where[:, 0] // (block * window) == where[:, 900] // (block * window))
        .double()
        .mean()
        .item()
    )
    assert together == pytest.approx((window - 1) / (n / block - 1), abs=4 * 0.011)


def test_repeats_of_an_image_lie_apart():
    ends = partial(epoch_list, np.full(512, 3, np.float32))
    drawn = blockwise(ends, block=16, window=4)(seeded(0))
    assert counts(drawn)[:512] == [3] * 512
    near = sum(len(set(batch.tolist())) < 64 for batch in drawn.split(64))
    clumped = sum(len(set(batch.tolist())) < 64 for batch in drawn.sort().values.split(64))
    assert clumped == 24 and near <= 4
