"""Two workers, real processes over gloo, have the loss, the gradient and the state of one.

Batch norm aside, whose statistics are of a worker's own samples: it is in its mode of tests, but
where MoCo has its rule.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from engine.core import checkpoint
from engine.training.distributed import present_workers, wrapped
from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Pace
from tests.models.selfsup import toys as images
from tests.models.selfsup.toys import RHO, of_clips, small
from tests.support import videos
from tests.support.methods import methods
from tests.support.workers import two

STEPS = 3


@dataclass(frozen=True)
class Variant:
    """An objective, its settings, and the samples of a step."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    samples: int = 7  # of which the first worker has four
    normed: bool = False
    clips: bool = False  # four of each video


VARIANTS = {name: Variant(name) for name in methods()}
VARIANTS |= {
    # parts of two samples, of which each worker has two
    "moco, batch norm": Variant("moco", {"splits": 4}, 8, True),
    "moco, batch norm, uneven": Variant("moco", {"splits": 4}, 9, True),
    "moco, four views": Variant("moco", {"views": {"name": "crops", "views": 4}}),
}
VARIANTS |= {f"{name}, four clips": Variant(name, clips=True) for name in RHO}
# parts of two samples, as of images
VARIANTS["moco, four clips, batch norm"] = Variant("moco", {}, 8, normed=True, clips=True)


def prepared(variant: Variant) -> nn.Module:
    torch.manual_seed(0)
    toys = videos if variant.clips else images
    backbone = toys.Normed() if variant.normed else toys.Normless()
    module = (of_clips if variant.clips else small)(variant.name, backbone, **variant.options)
    module = module.double().train()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and not variant.normed:
            layer.eval()
    for name, part in module.named_modules():
        # crops are of floats, as in every training
        if name.endswith("augment"):
            part.float()
    return module


def views_of(module: nn.Module, variant: Variant, step: int, rows: slice) -> dict[str, Tensor]:
    """Of this worker's samples, as the training has them."""
    start = step * variant.samples
    count = STEPS * variant.samples
    data = videos.Videos(module.reads, count) if variant.clips else images.Photos(count)
    own = torch.arange(start, start + variant.samples)[rows]
    draws = Draws(torch.Generator().manual_seed(step), rows.start, variant.samples)
    found = module.views(data.read(own, draws), draws)
    return {key: each.double() if each.is_floating_point() else each for key, each in found.items()}


def trained(variant: Variant) -> dict[str, Tensor]:
    """Losses and gradients of all steps, and the state after the last."""
    workers = present_workers()
    module = prepared(variant)
    whole = wrapped(module, sharded=False)
    optimizer = torch.optim.SGD((p for p in module.parameters() if p.requires_grad), 0.1)
    rows = workers.part(variant.samples)
    # as the loader has it: a worker with more samples counts for more
    share = (rows.stop - rows.start) * workers.world / variant.samples
    found: dict[str, Tensor] = {}
    for step in range(STEPS):
        # an epoch each
        module.before_step(Pace(step, STEPS, 1))
        loss = whole(views_of(module, variant, step, rows))["loss"] * share
        loss.backward()
        found[f"loss {step}"] = workers.mean_(loss.detach().clone())
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"gradient {step} {name}"] = parameter.grad.clone()
        module.before_update()
        optimizer.step()
        optimizer.zero_grad()
        module.after_step((step + 1) / STEPS)
    return found | {f"state {name}": each.clone() for name, each in module.state_dict().items()}


def every_variant(folder: Path) -> None:
    torch.set_num_threads(1)
    for label, variant in VARIANTS.items():
        try:
            found = trained(variant)
        except Exception as error:
            raise ValueError(f"{label}: {error!r}") from error
        checkpoint.save_tensors(folder / f"{label}-{dist.get_rank()}.safetensors", found, {})


# what two workers made of every variant
pair = two(every_variant)


@pytest.mark.parametrize("label", VARIANTS)
def test_two_workers_are_one_with_the_whole_batch(pair, one_thread, label):
    alone = trained(VARIANTS[label])
    ranks = [checkpoint.load_tensors(pair / f"{label}-{rank}.safetensors")[0] for rank in (0, 1)]
    assert any("gradient" in name for name in alone)
    for together in ranks:
        assert alone.keys() == together.keys()
        for name, tensor in alone.items():
            if "running_" in name or "num_batches" in name:
                # of a worker's own parts
                continue
            torch.testing.assert_close(
                together[name],
                tensor,
                rtol=1e-6,
                atol=1e-11,
                msg=lambda text, name=name: f"{name}: {text}",
            )


def test_a_worker_that_saw_its_own_samples_alone_would_have_another_loss(one_thread):
    """What the test above would miss if samples were not contrasted over the whole batch."""
    variant = VARIANTS["simclr"]
    module, losses = prepared(variant), []
    for rows in (slice(0, 7), slice(0, 4), slice(4, 7)):
        views = views_of(module, variant, 0, rows)
        losses.append((rows.stop - rows.start) / 7 * module(views)["loss"].item())
    assert losses[0] > losses[1] + losses[2] + 0.1
