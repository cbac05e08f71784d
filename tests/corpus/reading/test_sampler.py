"""Who reads which image when: complete, disjoint, resumable, and the same for any number of
ranks.
"""

from functools import partial

import numpy as np
import pytest
import torch

from corpus.reading.resampling import epoch_list
from corpus.reading.sampler import Sampler, seeded

IMAGES = 103


def shuffled(generator, n=IMAGES):
    return torch.randperm(n, generator=generator)


REPEATS = np.tile(np.array([1, 1.5, 3], np.float32), 34)
LISTS = {"shuffled": shuffled, "repeated": partial(epoch_list, REPEATS)}


def read(sampler: Sampler, epoch: int, step: int = 0) -> list[list[int]]:
    """The images of each step of the rest of one epoch."""
    steps = range(step, sampler.steps_of(len(sampler.epoch(epoch))))
    return [sampler.indices(epoch, number).tolist() for number in steps]


def joined(steps: list[list[int]]) -> list[int]:
    return [image for images in steps for image in images]


def counts(entries) -> list[int]:
    return torch.bincount(torch.as_tensor(entries), minlength=IMAGES).tolist()


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("epoch", [0, 5])
def test_every_entry_of_the_list_is_read_exactly_once(lists, world, epoch):
    every = []
    for rank in range(world):
        sampler = Sampler(lists, 16, seed=3, world=world, rank=rank, drop_last=False)
        every += joined(read(sampler, epoch))
    assert counts(every) == counts(lists(seeded(3, 1, epoch)))


def test_images_come_as_often_as_their_factor_says():
    drawn = counts(Sampler(LISTS["repeated"], 16, seed=0).epoch(2))[: len(REPEATS)]
    assert all(np.floor(r) <= n <= np.ceil(r) for n, r in zip(drawn, REPEATS, strict=True))
    assert sum(drawn) == REPEATS.sum()


@pytest.mark.parametrize("world", [1, 2, 8])
def test_ranks_are_disjoint_equal_in_size_and_leave_the_same_end_over(world):
    samplers = [Sampler(shuffled, 16, seed=1, world=world, rank=rank) for rank in range(world)]
    ranks = [joined(read(sampler, 0)) for sampler in samplers]
    assert {sampler.steps_of(IMAGES) for sampler in samplers} == {6}
    assert all(len(images) == 96 // world for images in ranks)
    assert len(set().union(*ranks)) == 96
    assert set(range(IMAGES)) - set().union(*ranks) == set(shuffled(seeded(1, 1, 0))[96:].tolist())


def test_the_last_smaller_step_is_dealt_evenly():
    sizes = []
    for rank in range(4):
        steps = read(Sampler(shuffled, 16, 0, 4, rank, drop_last=False), 0)
        sizes.append([len(images) for images in steps])
    assert [rank[:-1] for rank in sizes] == [[4] * 6] * 4
    assert [rank[-1] for rank in sizes] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("images", "sizes"), [(33, [16, 17]), (34, [16, 16, 2]), (32, [16, 16]), (17, [17]), (1, [1])]
)
@pytest.mark.parametrize("world", [1, 3])
def test_an_image_that_would_be_alone_joins_the_step_before_whatever_the_number_of_ranks(
    images, sizes, world
):
    lists = partial(shuffled, n=images)
    samplers = [Sampler(lists, 16, 0, world, rank, drop_last=False) for rank in range(world)]
    ranks = [read(sampler, 0) for sampler in samplers]
    steps = [joined(parts) for parts in zip(*ranks, strict=True)]
    assert [len(step) for step in steps] == sizes
    assert joined(steps) == samplers[0].epoch(0).tolist(), "each once, in order"
    assert {sampler.part(0, len(sizes) - 1)[2] for sampler in samplers} == {sizes[-1]}


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_going_on_at_any_step_equals_never_having_stopped(lists):
    def sequence(epoch: int, step: int) -> list[list[int]]:
        """From a step of an epoch to the end of epoch 2, by a sampler that knows of nothing."""
        sampler = Sampler(lists, 16, seed=4, world=2, rank=1)
        images = read(sampler, epoch, step)
        for later in range(epoch + 1, 3):
            images += read(sampler, later)
        return images

    whole = sequence(0, 0)
    per_epoch = len(whole) // 3
    assert per_epoch > 1 and whole[:per_epoch] != whole[per_epoch : 2 * per_epoch]
    for done in range(len(whole)):
        assert sequence(*divmod(done, per_epoch)) == whole[done:]


@pytest.mark.parametrize("lists", LISTS.values(), ids=LISTS)
def test_another_number_of_ranks_goes_on_with_the_same_images_at_each_step(lists):
    def step(world, number):
        samplers = [Sampler(lists, 16, 9, world, rank) for rank in range(world)]
        return joined([sampler.indices(2, number).tolist() for sampler in samplers])

    for number in range(6):
        assert step(1, number) == step(2, number) == step(4, number) == step(16, number)


def test_one_rank_reads_the_epochs_list_in_order():
    for epoch in range(3):
        expected = shuffled(seeded(7, 1, epoch))[:96].view(6, 16).tolist()
        assert read(Sampler(shuffled, 16, seed=7), epoch) == expected


def test_seed_and_epoch_change_the_order():
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    drawn = {tuple(Sampler(shuffled, 16, seed).epoch(epoch).tolist()) for seed, epoch in pairs}
    assert len(drawn) == 4


@pytest.mark.parametrize(
    ("batch", "world", "rank"), [(0, 1, 0), (2, 3, 0), (16, 2, 2), (16, 2, -1)]
)
def test_what_cannot_be_dealt_is_refused(batch, world, rank):
    with pytest.raises(ValueError, match="cannot be dealt to rank"):
        Sampler(shuffled, batch, 0, world, rank)


def test_an_epoch_smaller_than_a_batch_has_a_step_only_where_the_last_is_kept():
    assert Sampler(shuffled, 104, 0).steps_of(IMAGES) == 0
    assert Sampler(shuffled, 104, 0, drop_last=False).steps_of(IMAGES) == 1
