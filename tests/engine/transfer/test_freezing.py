"""What is frozen has no gradient and keeps its bytes through a training; the rest learns."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from engine.core.build import build
from engine.core.network import network
from engine.training.loop import train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.transfer.freezing import freeze_layers, stage_ends

RESNET = {"name": "resnet", "depths": (1, 2, 1), "block": "basic", "width": 8}
RESNET |= {"stem": "simple", "stem_stride": 1, "stem_width": 8}
VIT = {"name": "timm", "model": "test_vit", "resolution": 32}
BORROWED = {"name": "torchvision", "model": "resnet18"}
SECTIONS = {"objective": {"name": "supervised"}, "head": {"name": "linear"}}


@dataclass
class Noise:
    """Images of noise with labels, as a training reads them."""

    count: int = 16
    shards: object = None
    reads: dict = field(default_factory=lambda: {"image": {}, "label": {}})

    def __len__(self) -> int:
        return self.count

    def read(self, indices, draws=None):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (self.count, 32, 32, 3), dtype=torch.uint8, generator=generator)
        return {"image": images[indices], "label": indices % 3}


def learnt(backbone: dict, freeze, **recipe) -> tuple[dict, nn.Module, dict[str, bool]]:
    """(state before, network after two steps, by its parameters whether a gradient came)."""
    torch.manual_seed(0)
    module = network(backbone, **SECTIONS, classes=3)
    for norm in (m for m in module.backbone.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.ones_(norm.weight)  # a branch whose scale is zero gets no gradient
    before = {name: value.clone() for name, value in module.backbone.state_dict().items()}
    freeze_layers(module.backbone, freeze)
    came = {}
    for name, parameter in module.backbone.named_parameters():
        came[name] = False
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(
                lambda p, n=name: came.update({n: p.grad.any().item()})
            )
    own = Recipe(batch=8, rate=0.1, warmup=0, **recipe)
    train(module, Noise(), Training(own, epochs=1, seed=0))
    return before, module, came


def unchanged(before: dict, module: nn.Module) -> set[str]:
    now = module.backbone.state_dict()
    return {name for name in before if torch.equal(before[name], now[name])}


@pytest.mark.parametrize(
    ("backbone", "freeze", "prefixes"),
    [
        (RESNET, "stem", ("stem.",)),
        (RESNET, 1, ("stem.", "stages.0.")),
        (RESNET, 2, ("stem.", "stages.0.", "stages.1.")),
        (BORROWED, "stem", ("model.conv1.", "model.bn1.")),
        (BORROWED, 2, ("model.conv1.", "model.bn1.", "model.layer1.", "model.layer2.")),
        (
            VIT,
            2,
            ("model.cls", "model.pos", "model.patch_embed.", "model.blocks.0.", "model.blocks.1."),
        ),
    ],
)
def test_frozen_layers_keep_their_bytes_and_have_no_gradient(backbone, freeze, prefixes):
    before, module, came = learnt(backbone, freeze, weight_decay=0.1, ema=0.9, precise_bn=8)
    frozen = {name for name in before if name.startswith(prefixes)}
    assert frozen and frozen <= unchanged(before, module)
    assert {name for name, got in came.items() if not got} == frozen & came.keys()
    learning = {name for name in came if name not in frozen}
    assert learning.isdisjoint(unchanged(before, module))
    # statistics of the norms that are not frozen follow the images
    means = {name for name in before if name.endswith("running_mean")} - frozen
    assert means.isdisjoint(unchanged(before, module))


def test_all_but_norms():
    before, module, came = learnt(RESNET, "but_norms", weight_decay=0.1)
    norms = {
        f"{name}." for name, m in module.backbone.named_modules() if isinstance(m, nn.BatchNorm2d)
    }
    kept = {name for name in before if not name.startswith(tuple(norms))}
    assert kept == unchanged(before, module)
    assert {name for name, got in came.items() if got} == came.keys() - kept


def test_nothing_is_frozen_unless_it_is_asked_for():
    before, module, came = learnt(RESNET, None)
    assert all(came.values()) and unchanged(before, module).isdisjoint(came)


def test_frozen_norms_stay_so_whatever_mode_is_set():
    backbone = build("backbones", RESNET)
    freeze_layers(backbone, 1)
    objective = nn.ModuleDict({"backbone": backbone})
    for mode in (True, False, True):
        objective.train(mode)
    modes = [m.training for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    # stem and a block of two norms; the blocks behind
    assert modes[:3] == [False] * 3 and all(modes[3:])
    # layers that are made others later, as synchronised norms are, stay frozen too
    backbone.stem[1] = nn.BatchNorm2d(8)
    objective.train()
    assert not backbone.stem[1].training


def test_stages_that_there_are_not_are_told():
    backbone = build("backbones", RESNET)
    assert stage_ends(backbone) == [2, 4, 5]
    with pytest.raises(ValueError, match="freeze: 4 stages, and this backbone has 3"):
        freeze_layers(backbone, 4)
