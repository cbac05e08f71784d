"""One image alone has no variance: it joins others, or the cause is told."""

from dataclasses import replace

import pytest
import torch

from engine.core.network import network
from engine.training.distributed import Workers
from engine.training.loader import Step
from engine.training.loop import initialise, train
from engine.training.schedule import Schedule, Training
from engine.training.step import Learner
from tests.engine.training.toys import RECIPE, SECTIONS, Recorder, Toy

# its last map is one pixel
COARSE = SECTIONS | {"backbone": SECTIONS["backbone"] | {"stem_stride": 4}}


def coarse() -> torch.nn.Module:
    initialise(0)
    return network(**COARSE, classes=3)


@pytest.mark.parametrize(
    ("images", "recipe"),
    [
        (33, replace(RECIPE, last="keep")),
        (32, replace(RECIPE, micro=5)),
        (32, replace(RECIPE, micro=3, precise_bn=32)),
        (33, replace(RECIPE, micro=15, last="keep")),
        (3, replace(RECIPE, micro=2)),
        (2, replace(RECIPE, batch=256)),
    ],
)
def test_an_image_that_would_be_alone_joins_others(one_thread, images, recipe):
    report, data = Recorder(), Toy(images)
    train(coarse(), data, Training(recipe, 2, report=report, per_report=1))
    assert all(loss > 0 for loss in report.series("loss"))
    assert sum(map(len, data.seen)) == 2 * images + recipe.precise_bn, "none is left out"


@pytest.mark.parametrize("recipe", [replace(RECIPE, micro=1), replace(RECIPE, batch=1)])
def test_passes_of_one_image_are_refused_with_their_cause(one_thread, recipe):
    with pytest.raises(ValueError, match=r"has one image, whose last .*recipe.micro to 2"):
        train(coarse(), Toy(8), Training(recipe, 1))


def test_other_faults_of_a_pass_stay_what_they_are(one_thread, monkeypatch):
    def fault(batch: dict) -> dict:
        raise ValueError("another")

    module = coarse()
    monkeypatch.setattr(module, "forward", fault)
    with pytest.raises(ValueError, match=r"^another$"):
        train(module, Toy(8), Training(RECIPE, 1))


def parts(total: int, world: int, micro: int | None) -> list[list[int]]:
    """Sizes of the passes of each worker, of weights that add up to its share; 0 without weight."""
    found = []
    for rank in range(world):
        team = Workers(rank, world)
        rows = team.part(total)
        n = rows.stop - rows.start
        share = n * world / total
        batch = {"image": torch.zeros(n, 3, 16, 16), "label": torch.arange(n)}
        step = Step(0, batch, rows.start, total, share)
        learner = Learner.__new__(Learner)
        learner.recipe, learner.workers = replace(RECIPE, micro=micro), team
        passes = list(learner.passes(batch, step))
        assert sum(weight for _, weight, _ in passes) == pytest.approx(step.share)
        seen = torch.cat([part["label"] for part, weight, _ in passes if weight])
        assert seen.equal(batch["label"])
        assert [last for *_, last in passes] == [False] * (len(passes) - 1) + [True]
        found.append([len(part["label"]) if weight else 0 for part, weight, _ in passes])
    return found


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("micro", [2, 3, 5, 8, None])
@pytest.mark.parametrize("total", [8, 9, 13, 16, 17, 33])
def test_no_pass_of_any_worker_has_one_image_and_all_make_as_many(total, micro, world):
    found = parts(total, world, micro)
    assert len(set(map(len, found))) == 1
    assert min(map(min, found)) >= 2
    assert max(map(max, found)) <= (micro or total) + 2


def test_whole_micro_batches_stay_as_they_are():
    assert parts(16, 1, 4) == [[4] * 4] and parts(16, 2, 4) == [[4, 4]] * 2
    assert parts(18, 1, 4) == [[4, 4, 4, 4, 2]] and parts(8, 1, 1) == [[1] * 8]


def test_the_plan_counts_the_steps_that_there_are():
    for last, size in (("keep", 17), ("drop", 16)):
        training = Training(replace(RECIPE, last=last), 3)
        plan = Schedule.of(
            training, lambda generator: torch.randperm(33, generator=generator), Workers()
        )
        assert (plan.per_epoch, plan.total, plan.sampler.part(0, 1)[2]) == (2, 6, size)
