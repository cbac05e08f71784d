"""What every head of scenes keeps to, whatever it finds: gradients, empty images, half precision,
two workers.
"""

from operator import itemgetter
from pathlib import Path

import pytest
import torch
from torch import nn

from corpus.reading.sampler import seeded
from engine.core import checkpoint
from engine.core.batch import moved
from engine.core.build import plugin
from engine.core.layout import placed
from engine.core.network import columns_read
from engine.training.distributed import present_workers, wrapped
from engine.training.loop import train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws
from models.blocks.detection.scene import Found
from tests.support.scenes import NAMES, SIDE, Scenes, objective_of, scene_heads, scene_network
from tests.support.second_device import WHERE, Placed, second_device
from tests.support.workers import two

BACKBONE = {"name": "anynet", "depths": [1, 1, 1], "widths": [8, 16, 24], "stem_width": 8}
BACKBONE |= {"bottleneck_ratios": [1, 1, 1], "group_widths": [8, 8, 8]}
HEADS = scene_heads()


def made(head: str, **options) -> nn.Module:
    return scene_network(objective_of(head), head, BACKBONE, canvas=SIDE, **options)


def batch_of(head: str, count: int = 4) -> dict:
    read = columns_read({"name": objective_of(head)})
    return Scenes(count).reading(read).read(torch.arange(count))


def emptied(batch: dict) -> dict:
    """The same images, of which nothing is annotated."""
    found = {}
    for name, column in batch.items():
        if name.startswith(("box", "masks")) or name.endswith(("_label", "_crowd", "_thing")):
            column = [each[:0] for each in column]
        if name == "panoptic":
            column = [torch.zeros_like(each) for each in column]
        found[name] = column
    return found


def crowded(batch: dict, count: int = 1000) -> dict:
    """Each object many times over, in all columns of objects."""
    found = dict(batch)
    for name, column in batch.items():
        if name.startswith(("box", "masks")):
            found[name] = [each[torch.arange(count) % len(each)] for each in column]
    return found


def lossed(module: nn.Module, batch: dict, first: int = 0, total: int | None = None) -> dict:
    count = len(batch["image"])
    return module(module.views(batch, Draws(seeded(1), first, total or count)))


def with_objects(head: str) -> dict:
    """Two images that have some."""
    whole = batch_of(head, 8)
    column = whole.get("boxes") or whole["panoptic_label"]
    rows = [row for row, each in enumerate(column) if len(each) > 3][:2]
    return {name: list(itemgetter(*rows)(values)) for name, values in whole.items()}


@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_takes_part_whatever_is_annotated(head):
    """Also where nothing is: workers wait for all gradients. And losses tell their parts."""
    module, batch = made(head), with_objects(head)
    given = [batch, emptied(batch)]
    if "boxes" in batch:
        given.append(crowded(batch))
    for each in given:
        module.zero_grad()
        losses = lossed(module, each)
        losses["loss"].backward()
        assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
        lacking = [n for n, p in module.named_parameters() if p.grad is None and p.requires_grad]
        assert not lacking
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("head", HEADS)
def test_what_is_found_has_the_form_that_is_told(head):
    module = made(head).eval()
    gives = plugin("heads", head, head).gives
    images, contents = module.placed(batch_of(head, 3)["image"])
    with torch.no_grad():
        found = module.scenes_found(images, contents)
        deployed = module.head(module.backbone(torch.stack(images)))
    assert len(deployed) == 3 and isinstance(deployed[0], Found)
    for one, (height, width) in zip(found, contents, strict=True):
        assert (one.boxes is not None) == ("boxes" in gives)
        assert (one.masks is not None) == ("masks" in gives)
        assert (one.semantic is not None) == ("semantic" in gives)
        if one.boxes is not None:
            m = len(one.boxes)
            assert one.boxes.shape == (m, 4) and one.labels.shape == one.scores.shape == (m,)
            assert one.labels.dtype == torch.int64 and (one.labels < len(NAMES)).all()
            assert (one.scores.diff() <= 0).all() and ((one.scores > 0) & (one.scores <= 1)).all()
            assert (one.boxes >= 0).all() and (one.boxes[:, 2] <= width).all()
            assert (one.boxes[:, 3] <= height).all()
        if one.masks is not None:
            assert len(one.masks) == m and ((one.masks >= 0) & (one.masks <= 1)).all()
        if one.semantic is not None:
            # one more of no class, where there are things
            assert len(one.semantic) - len(NAMES) in (0, 1)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("head", HEADS)
def test_half_precision_stays_finite(head, precision):
    kinds = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    module, batch = made(head), with_objects(head)
    with torch.autocast("cpu", kinds[precision]):
        losses = lossed(module, batch)
    losses["loss"].float().backward()
    assert losses["loss"].isfinite()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    exact = lossed(made(head), batch)["loss"]
    torch.testing.assert_close(losses["loss"].float(), exact, rtol=0.1, atol=0.1)
    module.eval()
    images, contents = module.placed(batch["image"])
    with torch.no_grad(), torch.autocast("cpu", kinds[precision]):
        for one in module.scenes_found(images, contents):
            values = (one.boxes, one.scores, one.masks)
            assert all(each.isfinite().all() for each in values if each is not None)


@pytest.mark.parametrize("head", HEADS)
def test_a_training_goes_on_from_its_state_and_learns(head, tmp_path):
    """It ends with the same weights as one that was not stopped, and a lower loss."""
    data = Scenes(4).reading(columns_read({"name": objective_of(head)}))
    recipe = Recipe(batch=4, rate=0.003, scaling="none", warmup=0, optimizer={"name": "adamw"})
    losses = []

    def report(values: dict, step: int) -> None:
        losses.append(values["loss"])

    whole, again = made(head), made(head)
    train(whole, data, Training(recipe, 6, state=tmp_path, keep=99, report=report, per_report=1))
    newest = sorted(tmp_path.glob("*.safetensors"))
    newest[-1].unlink()
    train(again, data, Training(recipe, 6, state=tmp_path, keep=99))
    expected, found = whole.state_dict(), again.state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
    assert sum(losses[-3:]) < sum(losses[:3])


COUNT = 5  # images of a step, of which the first worker has three


def gradients(head: str) -> dict[str, torch.Tensor]:
    """Mean loss and gradients of a step by the present workers.

    Batch norm is as in a test: it sees a worker's own images alone.
    """
    workers = present_workers()
    module = placed(made(head), torch.device("cpu"))
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
    rows = workers.part(COUNT)
    batch = {name: column[rows] for name, column in batch_of(head, COUNT).items()}
    views = module.views(batch, Draws(seeded(1), rows.start, COUNT))
    share = (rows.stop - rows.start) * workers.world / COUNT
    # kept until the gradients are there, which it brings together
    whole = wrapped(module, sharded=False)
    loss = whole(views)["loss"] * share
    loss.backward()
    found = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return found | {"loss": workers.mean_(loss.detach().clone())}


def every_head(folder: Path) -> None:
    torch.set_num_threads(1)
    rank = torch.distributed.get_rank()
    for head in HEADS:
        checkpoint.save_tensors(folder / f"{head}-{rank}.safetensors", gradients(head), {})


pair = two(every_head)


@pytest.mark.parametrize("head", HEADS)
def test_two_workers_have_the_loss_and_the_gradient_of_one(pair, one_thread, head):
    alone = gradients(head)
    for rank in range(2):
        together = checkpoint.load_tensors(pair / f"{head}-{rank}.safetensors")[0]
        assert together.keys() == alone.keys()
        for name, tensor in alone.items():
            torch.testing.assert_close(
                together[name],
                tensor,
                rtol=1e-3,
                atol=1e-5,
                msg=lambda text, name=name: f"{name}: {text}",
            )


@pytest.mark.parametrize("head", HEADS)
def test_nothing_stays_on_the_host(monkeypatch, one_thread, head):
    """On a device that computes with the CPU: the same losses and answers."""
    module, batch = made(head), with_objects(head)
    # torchvision's tensors, which the views go through, are of none but real devices
    views = module.views(batch, Draws(seeded(1)))
    tests = module.test_views(batch, Draws(seeded(1)))
    expected = module(views)
    with second_device(monkeypatch):
        there = made(head).to(WHERE)
        found = there(moved(views, WHERE))
        found["loss"].backward()
        parameters = [p for p in there.parameters() if p.requires_grad]
        assert all(isinstance(each.grad, Placed) for each in parameters)
        with torch.no_grad():
            answers = there.eval().predict(moved(tests, WHERE))
        assert all(isinstance(row, Placed) for column in answers.values() for row in column)
    for name, loss in expected.items():
        torch.testing.assert_close(found[name].detach().cpu(), loss.detach())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("head", HEADS)
def test_losses_and_answers_on_a_gpu_are_those_of_the_cpu(head):
    batch, results = with_objects(head), []
    for where in map(torch.device, ("cpu", "cuda")):
        module = placed(made(head), where)
        there = moved(batch, where)
        losses = lossed(module, there)
        losses["loss"].backward()
        module.eval()
        with torch.no_grad():
            answers = module.predict(module.test_views(there, Draws(seeded(1))))
        assert all(each.device.type == where.type for row in answers.values() for each in row)
        results.append({name: loss.item() for name, loss in losses.items()})
    assert results[1] == pytest.approx(results[0], rel=1e-3)
