"""Batches read ahead, the time that training waits for them, and what is said about it."""

import logging
import time
from itertools import accumulate

import pytest
import torch

from corpus.reading.sampler import Sampler
from corpus.reading.shards import Shards
from engine.core.batch import Batch, joined, length
from engine.core.samples import Rows
from engine.training import meter
from engine.training.loader import Loader
from engine.training.loop import train
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws
from tests.engine.training.toys import RECIPE, Recorder, Toy, tiny
from tests.support.clips import frame, write_clips


class Slow(Toy):
    """Images from a slow disk."""

    seconds = 0.05

    def read(self, indices: torch.Tensor, draws: Draws) -> Batch:
        time.sleep(self.seconds)
        return super().read(indices, draws)


def reader(samples: Toy, batch: int, world: int = 1, rank: int = 0, last: bool = False) -> Loader:
    sampler = Sampler(
        lambda g: torch.randperm(len(samples), generator=g),
        batch,
        0,
        world,
        rank,
        drop_last=not last,
    )
    per_epoch = sampler.steps_of(len(samples))
    return Loader(samples, sampler, per_epoch, range(2 * per_epoch), torch.device("cpu"))


@pytest.mark.serial
def test_waiting_is_measured_and_reading_goes_on_meanwhile():
    slow = reader(Slow(), 16)
    steps = iter(slow)
    for _ in slow.span[:-1]:
        next(steps)
        time.sleep(2 * Slow.seconds)  # longer than a read: only the first is waited for
    assert 0.5 * Slow.seconds < slow.waited < 0.5 * Slow.seconds * len(slow.span)


@pytest.mark.parametrize(("seconds", "starved"), [(0.0, False), (0.2, True)])
def test_the_wait_is_reported_and_the_fix_is_named_once(
    one_thread, caplog, monkeypatch, seconds, starved
):
    samples, report, texts = Slow(), Recorder(), set()
    samples.seconds = seconds
    monkeypatch.setattr(meter, "STARVED", 60)  # percent, so that a busy machine starves nobody
    with caplog.at_level(logging.WARNING):
        progress = lambda done, total, text: texts.add(text)  # noqa: E731
        train(tiny(), samples, Training(RECIPE, 4, report=report, progress=progress, per_report=3))
    assert (report.series("loader_wait")[-1] > 60) is starved
    assert caplog.text.count("of its time for images: let `samples` read faster") == starved
    assert any("images/s, loader wait" in text for text in texts)


class Drawing(Toy):
    """Samples of which something is drawn as they are read, as the frames of a clip are."""

    def read(self, indices: torch.Tensor, draws: Draws) -> Batch:
        batch = super().read(indices, draws)
        return batch | {"drawn": draws.rand(len(indices), 2), "row": indices}


@pytest.mark.parametrize("world", [1, 2, 3])
def test_what_is_read_of_a_sample_is_of_its_step_and_place_whoever_holds_it(world):
    whole = {step.iteration: step.batch for step in reader(Drawing(57), 18, last=True)}
    seen = torch.cat([batch["drawn"] for batch in whole.values()])
    assert len(seen.unique()) == seen.numel(), "new draws at every step, and for every sample"
    sides = [reader(Drawing(57), 18, world, rank, last=True) for rank in range(world)]
    for steps in zip(*sides, strict=True):
        real = [step.batch for step in steps if step.share]
        together = joined(real)
        expected = whole[steps[0].iteration]
        assert all(torch.equal(together[name], expected[name]) for name in expected)


def test_a_reader_that_begins_later_draws_the_same():
    every = [step.batch["drawn"] for step in reader(Drawing(57), 18)]
    later = reader(Drawing(57), 18)
    later.span = range(4, later.span.stop)
    for step in later:
        assert torch.equal(step.batch["drawn"], every[step.iteration])
    other = Loader(later.samples, later.sampler, later.per_epoch, range(1), later.where, seed=1)
    assert not torch.equal(next(iter(other)).batch["drawn"], every[0])


@pytest.mark.parametrize(("batch", "world"), [(18, 2), (14, 2), (20, 4)])
def test_parts_of_a_step_are_its_images_once_and_shares_add_up(batch, world):
    sides = [list(reader(Toy(57), batch, world, rank, last=True)) for rank in range(world)]
    whole = list(reader(Toy(57), batch, last=True))
    for step, *parts in zip(whole, *sides, strict=True):
        real = [part for part in parts if part.share]
        assert torch.equal(torch.cat([part.batch["image"] for part in real]), step.batch["image"])
        assert sum(part.share for part in parts) == pytest.approx(world) and step.share == 1
        starts = accumulate((length(part.batch) for part in real), initial=0)
        assert [part.first for part in real] == list(starts)[:-1]
        assert all(length(part.batch) for part in parts)
        assert {part.total for part in parts} == {length(step.batch)}


def test_a_slow_reader_of_clips_is_told_what_helps_there(tmp_path):
    videos = [([frame(v, 0), frame(v, 1)], [0, 1]) for v in range(3)]
    shards = Shards(write_clips(tmp_path / "clips", videos), "train", threads=2)
    loader = reader(Rows(shards, {"clip": {"frames": 2}}), batch=2)
    assert "more than 2 threads" in loader.advice() and "corpus.size" in loader.advice()
    assert "TAGDAG_CACHE_MB" not in loader.advice()
    # what is read of a video follows from seed and step alone
    for step, again in zip(loader, loader, strict=True):
        assert all(map(torch.equal, step.batch["clip"], again.batch["clip"]))
