"""What networks predict: by any policy, in any batches, however little memory there is."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.allocator import OutOfMemory
from engine.core.batch import Batch, joined, length
from engine.core.build import build
from engine.training import predicting
from engine.training.distributed import present_workers
from engine.training.predicting import predicted, scored
from models.blocks.augment.draws import Draws
from tests.engine.training.toys import Toy, plain, tiny
from tests.support.workers import two

SPENT = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"),
]


class Shaken:
    """A policy that draws: scores of views with noise, and the noise of each sample's place."""

    def __init__(self, limit: int = 10**9, error: Exception | None = None, first: int = 0) -> None:
        self.limit, self.error, self.first = limit, error, first
        self.asked: list[int] = []

    def __call__(self, objective: nn.Module, batch: Batch, draws: Draws) -> tuple[Batch, Batch]:
        n = length(batch)
        self.asked.append(n)
        if n > self.limit and draws.first >= self.first:
            raise self.error
        noise = draws.rand(n, 1)
        scores = objective.logits(objective.plain(batch["image"])) + noise
        return {"scores": scores, "noise": noise}, {"label": batch["label"]}


def said(module: nn.Module, samples: Toy, policy: Shaken, **part) -> tuple[Batch, list[int]]:
    """All predictions and targets, and the indices that they are of."""
    found = list(predicted(module, samples, policy, **part))
    whole = joined(predictions | targets for _, predictions, targets in found)
    return whole, torch.cat([indices for indices, *_ in found]).tolist()


def assert_same(found: Batch, expected: Batch) -> None:
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        torch.testing.assert_close(found[name], column, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("error", SPENT, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("limit", "first", "asked"),
    [
        (20, 0, [32, *[16] * 5, 10]),
        (3, 0, [32, 16, 8, 4, *[2] * 45]),
        (1, 0, [32, 16, 8, 4, 2, *[1] * 90]),
        # only after some batches have been told
        (5, 40, [32, 32, 26, 16, 8, *[4] * 6, 2]),
    ],
)
def test_memory_that_runs_out_halves_the_batch_and_changes_nothing(
    monkeypatch, one_thread, error, limit, first, asked
):
    monkeypatch.setattr(predicting, "BATCH", 32)
    module, samples = tiny(), Toy(90)
    expected, order = said(module, samples, Shaken())
    policy = Shaken(limit, error, first)
    found, again = said(module, samples, policy)
    assert again == order == list(range(90))
    assert torch.equal(found["label"], samples.classes)
    # what is drawn for a sample is of its place alone
    assert torch.equal(found["noise"], expected["noise"])
    assert len(found["noise"].unique()) == 90
    assert_same(found, expected)
    assert policy.asked == asked


def test_one_sample_that_does_not_fit_is_told(one_thread):
    with pytest.raises(OutOfMemory, match="one image does not fit into memory: spent"):
        list(predicted(tiny(), Toy(5), Shaken(0, MemoryError("spent"))))


def test_another_fault_is_not_taken_for_memory(one_thread):
    policy = Shaken(0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(predicted(tiny(), Toy(5), policy))
    assert policy.asked == [5]


def test_a_fault_of_who_asks_is_not_taken_for_the_networks(monkeypatch, one_thread):
    """Nor is anything predicted twice for it."""
    monkeypatch.setattr(predicting, "BATCH", 8)
    policy = Shaken()
    with pytest.raises(MemoryError):
        for indices, *_ in predicted(tiny(), Toy(40), policy):
            if indices[0] == 16:
                raise MemoryError
    assert policy.asked == [8, 8, 8]


@pytest.mark.parametrize("rows", [slice(10, 40), slice(0, 0), slice(50, None), slice(-5, None)])
def test_a_part_of_the_samples_has_what_the_whole_has(rows, one_thread):
    module, samples = plain(), Toy(56)
    whole, order = said(module, samples, Shaken())
    if not order[rows]:
        assert list(predicted(module, samples, Shaken(), rows)) == []
        return
    part, indices = said(module, samples, Shaken(), rows=rows)
    assert indices == order[rows]
    assert_same(part, {name: column[rows] for name, column in whole.items()})


def test_nobody_s_samples_are_no_fault(one_thread):
    assert list(predicted(tiny(), Toy(0))) == []


def test_plainly_it_is_what_the_objective_predicts_of_its_test_views(one_thread):
    module, samples = tiny(), Toy(12)
    [(indices, predictions, targets)] = predicted(module, samples)
    view = module.plain(samples.pixels)
    scores = module.eval().logits(view)
    assert indices.tolist() == list(range(12)) and targets.keys() == {"label"}
    torch.testing.assert_close(predictions["scores"], scores)
    torch.testing.assert_close(predictions["probabilities"], scores.softmax(1))
    [(_, pooled, _)] = predicted(module, samples, build("policies", {"name": "features"}))
    torch.testing.assert_close(pooled["features"], module.features(view))
    assert not predictions["scores"].requires_grad


class Tagged(Toy):
    """Images of several classes, some of none."""

    def read(self, indices: Tensor, draws: Draws) -> Batch:
        batch = super().read(indices, draws)
        tags = F.one_hot(batch["label"], 3) + F.one_hot(indices % 5 % 3, 3)
        tags[indices % 7 == 0] = 0
        return {"image": batch["image"], "tags": tags.clamp(max=1).float()}


METRICS = ("accuracy", "mean_ap", "f1", "per_class", "confusion")


def measured(metric: str) -> dict:
    """A metric of a network on images of one class or of several, by the present workers."""
    module = plain()
    # far from zero, so that images differ in what is said of them
    nn.init.normal_(module.head.fc.weight, generator=torch.Generator().manual_seed(1))
    samples = Toy(57) if metric in ("accuracy", "per_class", "confusion") else Tagged(57)
    return scored(module, samples, build("metrics", {"name": metric})).compute()


def told(folder: Path) -> None:
    for metric in METRICS:
        (folder / f"{metric}-{present_workers().rank}").write_text(str(measured(metric)))


# what two workers found
pair = two(told)


@pytest.mark.parametrize("metric", METRICS)
def test_two_workers_measure_what_one_does(pair, metric, one_thread):
    alone = measured(metric)
    assert alone["samples"] == 57
    assert [(pair / f"{metric}-{rank}").read_text() for rank in (0, 1)] == [str(alone)] * 2


def test_each_worker_predicts_its_part(monkeypatch, one_thread):
    """Else two would measure what one does at twice the cost."""
    samples = Toy(57)
    monkeypatch.setattr(predicting, "present_workers", lambda: Half())
    scored(plain(), samples, build("metrics", {"name": "accuracy"}))
    assert samples.seen == [list(range(29))]


class Half:
    """The first of two workers, who does not wait for the other."""

    def part(self, count: int) -> slice:
        return slice(0, -(-count // 2))

    def merge(self, metric):
        return metric
