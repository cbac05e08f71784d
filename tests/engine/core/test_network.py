"""Parts get the facts that they name; plug-ins inside of plug-ins; what a weight file keeps."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from engine.core import build, checkpoint
from engine.core.network import columns_read, load_network, network, save_network
from models.blocks.layers.classifying import LinearClassifier
from models.blocks.methods.classifier import Classifier
from models.blocks.methods.method import Method
from models.blocks.ranges import Least, Part, Plug, Width
from models.objectives.supervised import Supervised
from tests.engine.training.toys import Taught
from tests.support.networks import TINY

NAMES = ["sea", "sky", "tree"]
LINEAR, SUPERVISED = {"name": "linear"}, {"name": "supervised"}


class Asking(LinearClassifier):
    """A head that asks for more than channels and classes."""

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        strides: Sequence[int],
        names: list[str],
        target: str,
        scale: Part = 1.0,
    ) -> None:
        super().__init__(channels, classes, target)
        self.facts = {"strides": strides, "names": names, "target": target, "scale": scale}


class Speaking(LinearClassifier):
    """A head for texts."""

    def __init__(self, channels: Sequence[int], tokens: int) -> None:
        super().__init__(channels, tokens)


class Noisy(Method):
    """Another objective, on views with noise."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        inner: Plug[Callable, "objectives"],  # noqa: F821 (a folder's name, no type)
        noise: Least = 0.1,
    ) -> None:
        super().__init__(backbone, head)
        self.inner, self.noise = inner(backbone=backbone, head=head), noise

    @classmethod
    def columns(cls, inner: Callable, **options: Any) -> dict[str, dict[str, Any]]:
        return inner.func.columns(**inner.keywords)

    @staticmethod
    def facts(facts: dict[str, Any], inner: Callable, **options: Any) -> dict[str, Any]:
        own = facts | {"target": inner.func.target}
        return inner.func.facts(own, **inner.keywords)

    def views(self, batch: dict[str, Tensor], draws: Any) -> dict[str, Tensor]:
        view = self.inner.views(batch, draws)
        noise = draws.randn(*view["image"].shape)
        return view | {"image": view["image"] + self.noise * noise}

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        return self.inner(batch)


class Several(Supervised):
    """More heads beside the first: the loss is their mean."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        more: list[Plug[Callable, "heads"]],  # noqa: F821
    ) -> None:
        super().__init__(backbone, head)
        sizes = {"channels": backbone.channels, "classes": head.classes}
        self.more = nn.ModuleList(make(**sizes) for make in more)

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        maps, losses = self.backbone(batch["image"]), []
        for head in (self.head, *self.more):
            losses.append(head.loss(head(maps), batch["label"])["loss"])
        return {"loss": torch.stack(losses).mean()}

    def export(self) -> dict[str, Tensor]:
        others = {f"more.{name}": tensor for name, tensor in self.more.state_dict().items()}
        return super().export() | others


class Tagging(Classifier):
    """An objective of another target."""

    target: ClassVar[str] = "tags"


class Slotted(nn.Module):
    """A backbone with slots."""

    def __init__(
        self,
        norm: Plug[Callable, "heads"],  # noqa: F821
        stages: list[Plug[Callable, "heads"]],  # noqa: F821
        act: Plug[Callable, "heads"] = nn.ReLU,  # noqa: F821
        width: Width = 8,
    ) -> None:
        super().__init__()


TOYS = {
    "backbones": {"slotted": Slotted},
    "heads": {"asking": Asking, "speaking": Speaking},
    "objectives": {"noisy": Noisy, "several": Several, "taught": Taught, "tagging": Tagging},
}


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """The toys stand beside the plug-ins of their folders."""
    choices, plugin = build.choices, build.plugin

    def known(kind):
        return sorted([*choices(kind), *TOYS.get(kind, ())])

    def found(kind, name, where):
        return TOYS.get(kind, {}).get(name) or plugin(kind, name, where)

    monkeypatch.setattr(build, "choices", known)
    monkeypatch.setattr(build, "plugin", found)


def made(objective: dict, head: dict = LINEAR, **facts) -> nn.Module:
    torch.manual_seed(0)
    return network(TINY, objective, head, **{"classes": 3, "names": NAMES} | facts)


def test_a_head_is_handed_the_facts_that_it_names():
    module = made(SUPERVISED, {"name": "asking", "scale": 0.5})
    strides = module.backbone.strides
    assert module.head.facts == {
        "strides": strides,
        "names": NAMES,
        "target": "label",
        "scale": 0.5,
    }
    assert len(strides) == len(module.backbone.channels) and module.head.classes == 3
    assert made({"name": "tagging"}, {"name": "asking"}).head.facts["target"] == "tags"


def test_an_objective_s_own_classes_go_before_those_of_the_data():
    assert made({"name": "rotation"}, {"name": "asking"}).head.classes == 4


def test_a_fact_that_nobody_has_is_told():
    with pytest.raises(ValueError, match=r"^network\.head: 'speaking' asks for 'tokens'") as error:
        made(SUPERVISED, {"name": "speaking"})
    known = "known: classes, names, channels, strides, target"
    assert known in str(error.value) and "how many different tokens" in str(error.value)
    assert made(SUPERVISED, {"name": "speaking"}, tokens=40).head.classes == 40
    # as in the section of a saved network
    assert made(SUPERVISED, {"name": "speaking", "tokens": 7}).head.classes == 7


def test_a_fact_is_no_key_where_it_is_known():
    with pytest.raises(ValueError, match=r"network\.head: key 'classes' is set by the code"):
        made(SUPERVISED, {"name": "asking", "classes": 4})


def trained(module: nn.Module) -> nn.Module:
    """With weights that no seed gives."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1
    return module


def saved_and_loaded(folder, module: nn.Module, objective: dict, head: dict = LINEAR) -> nn.Module:
    sections = {"backbone": TINY, "objective": objective, "head": head}
    save_network(folder / "model.safetensors", module, sections, NAMES)
    again, names = load_network(folder / "model.safetensors")
    assert names == NAMES and type(again) is type(module)
    return again


def assert_same(module: nn.Module, again: nn.Module) -> None:
    """What they say of images."""
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(module.eval().logits(images), again.eval().logits(images))


def test_an_objective_around_another_is_built_saved_and_loaded(tmp_path):
    section = {"name": "noisy", "inner": {"name": "hashtags", "label_smoothing": 0.2}, "noise": 3}
    module = trained(made(section, {"name": "asking"}))
    assert module.inner.label_smoothing == 0.2 and module.noise == 3
    assert module.inner.backbone is module.backbone and module.head.facts["target"] == "hashtags"
    assert columns_read(section) == {"image": {}, "hashtags": {}}
    again = saved_and_loaded(tmp_path, module, section, {"name": "asking"})
    assert again.inner.label_smoothing == 0.2
    assert_same(module, again)
    assert_same(module.inner, again.inner)


def test_an_objective_with_a_list_of_heads_is_built_saved_and_loaded(tmp_path):
    section = {"name": "several", "more": [LINEAR, {"name": "logistic", "l2": 0.5}]}
    module = trained(made(section))
    assert [type(head).__name__ for head in module.more] == ["Linear", "Logistic"]
    assert module.more[1].l2 == 0.5
    again = saved_and_loaded(tmp_path, module, section)
    assert_same(module, again)
    for ours, theirs in zip(module.more, again.more, strict=True):
        assert torch.equal(ours.fc.weight, theirs.fc.weight)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        (
            {"name": "noisy", "inner": {"name": "hashtag"}},
            r"objective\.inner = .*unknown name 'hashtag', did you mean 'hashtags'",
        ),
        (
            {"name": "noisy", "inner": {"name": "supervised", "mixpu": 1}},
            r"objective\.inner = .*unknown key 'mixpu', did you mean 'mixup'",
        ),
        ({"name": "noisy", "inner": "supervised"}, r"objective\.inner = .*a section with a name"),
        ({"name": "noisy"}, "missing key 'inner'"),
        (
            {"name": "several", "more": [LINEAR, {"name": "logistic", "l2": -1}]},
            r"objective\.more\.1 = .*l2 = -1: Input should be greater",
        ),
    ],
)
def test_mistakes_in_nested_sections_are_told_with_their_place(section, fault):
    with pytest.raises(ValueError, match=fault):
        made(section)


def test_defaults_are_written_out_and_nested_sections_stay():
    section = {"name": "slotted", "norm": LINEAR, "stages": [LINEAR, {"name": "logistic"}]}
    whole = build.with_defaults("backbones", section)
    assert whole == section | {"act": nn.ReLU, "width": 8}


def test_a_teacher_is_no_part_of_what_is_kept(tmp_path):
    module = trained(made({"name": "taught"}))
    with torch.no_grad():
        for parameter in module.teacher.parameters():
            parameter += 1
    assert {name.partition(".")[0] for name in module.state_dict()} == {
        "backbone",
        "head",
        "teacher",
    }
    again = saved_and_loaded(tmp_path, module, {"name": "taught"})
    tensors, _ = checkpoint.load_tensors(tmp_path / "model.safetensors")
    assert tensors.keys() == module.export().keys()
    assert {name.partition(".")[0] for name in tensors} == {"backbone", "head"}
    assert_same(module, again)
    # new, as nothing of it is in the file
    ours, theirs = module.teacher.state_dict(), again.teacher.state_dict()
    assert not torch.equal(ours["stem.0.weight"], theirs["stem.0.weight"])


def test_weights_that_lack_a_key_of_the_export_are_refused():
    module = made({"name": "taught"})
    tensors = module.export()
    del tensors["head.fc.bias"]
    with pytest.raises(ValueError, match=r"1 keys \(head\.fc\.bias\)"):
        checkpoint.load_export(made({"name": "taught"}), tensors)
