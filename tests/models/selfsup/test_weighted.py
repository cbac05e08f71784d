"""Two objectives over one backbone: the sum of both alone, one state, hooks, settings, refusals."""

from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from engine.core import checkpoint
from engine.core.build import build
from engine.core.network import columns_read, load_network, network, save_network
from engine.training.checkpoints import Checkpoints
from engine.training.distributed import ALONE, present_workers, wrapped
from engine.training.launching import launch
from engine.training.loop import train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.training.step import Learner
from flows.cli import validate
from flows.running.code import code_files
from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Pace
from models.objectives.byol import BYOL
from models.objectives.hashtags import Hashtags
from models.objectives.simclr import SimCLR
from models.objectives.weighted import Weighted
from tests.models.selfsup.toys import Normless
from tests.support import params
from tests.support.networks import TINY

HASHTAGS = {"name": "hashtags", "scale": [0.5, 1.0]}
SIMCLR = {"name": "simclr", "width": 8}
MOCO = {"name": "moco", "queue": 16, "width": 8}
BARLOW = {"name": "barlow_twins", "hidden": 8, "width": 8}
BYOL_SMALL = {"name": "byol", "hidden": 8, "width": 8}


def made(first: dict, second: dict, **options) -> nn.Module:
    """The weighted sum around a new network."""
    torch.manual_seed(0)
    backbone = Normless()
    head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=4)
    section = {"name": "weighted", "first": first, "second": second} | options
    return build("objectives", section, backbone=backbone, head=head)


def whole(first: dict, second: dict, **options) -> nn.Module:
    """The same from sections, with batch norm and the facts of data."""
    torch.manual_seed(0)
    section = {"name": "weighted", "first": first, "second": second} | options
    facts = {"classes": 4, "names": list("abcd")}
    return network(TINY | {"stem_stride": 1}, section, {"name": "linear"}, **facts)


def posts(n: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 16, 16, 3), dtype=torch.uint8, generator=generator)
    tags = (torch.rand(n, 4, generator=generator) < 0.5).float()
    return {"image": images, "hashtags": tags}


class Posts:
    """A data set of these posts."""

    def __init__(self, n: int = 24) -> None:
        self.columns = posts(n)

    def __len__(self) -> int:
        return len(self.columns["image"])

    def read(self, indices: Tensor, draws: Draws) -> dict[str, Tensor]:
        return {name: column[indices] for name, column in self.columns.items()}


def draws() -> Draws:
    return Draws(torch.Generator().manual_seed(2))


def gradients(loss: Tensor, method: nn.Module) -> dict[str, Tensor]:
    method.zero_grad()
    loss.backward()
    named = method.backbone.named_parameters()
    return {name: parameter.grad.clone() for name, parameter in named}


PAIRS = [(HASHTAGS, SIMCLR), (BARLOW, HASHTAGS), (HASHTAGS, MOCO), (SIMCLR, BYOL_SMALL)]
PAIRS += [(SIMCLR, SIMCLR | {"temperature": 0.5}), (HASHTAGS, HASHTAGS | {"label_smoothing": 0.1})]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_loss_and_the_gradient_are_the_sum_of_both_alone(first, second):
    method = made(first, second, weights=[0.3, 2.0])
    view = method.views(posts(), draws())
    one = draws()
    alone = [part.views(posts(), one) for part in (method.first, method.second)]
    # the second's draws are others than the first's
    assert not torch.equal(view["image"].flatten()[:99], view["second_image"].flatten()[:99])
    losses = [
        part(own)["loss"] for part, own in zip((method.first, method.second), alone, strict=True)
    ]
    found = method(view)
    torch.testing.assert_close(found["loss"], 0.3 * losses[0] + 2.0 * losses[1])
    sums = gradients(0.3 * losses[0] + 2.0 * losses[1], method)
    torch.testing.assert_close(gradients(found["loss"], method), sums)


def test_both_are_reported_by_their_names():
    found = made(HASHTAGS, BARLOW)
    found = found(found.views(posts(), draws()))
    parts = {"barlow_twins_on_diagonal", "barlow_twins_off_diagonal"}
    assert found.keys() == {"loss", "hashtags", "barlow_twins"} | parts
    twice = made(SIMCLR, SIMCLR | {"temperature": 0.5})
    found = twice(twice.views(posts(), draws()))
    assert found.keys() == {"loss", "simclr", "simclr_2"}
    assert found["simclr"] != found["simclr_2"]


def test_without_weight_of_the_second_the_gradient_is_the_firsts():
    method = made(HASHTAGS, SIMCLR, weights=[1.0, 1e-9])
    view = method.views(posts(), draws())
    alone = gradients(method.first(view)["loss"], method)
    found = gradients(method(view)["loss"], method)
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-6)
    even = made(HASHTAGS, SIMCLR)
    even = gradients(even(view)["loss"], even)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(even, alone, rtol=1e-2, atol=1e-4)


def test_every_column_has_a_row_per_sample_and_views_follow_the_worker():
    method = made(HASHTAGS, MOCO)
    view = method.views(posts(), draws())
    assert set(view) == {"image", "hashtags", "second_image", "second_order"}
    assert {len(column) for column in view.values()} == {8}
    part = {name: column[3:] for name, column in posts().items()}
    part = method.views(part, Draws(torch.Generator().manual_seed(2), 3, 8))
    for name, column in part.items():
        torch.testing.assert_close(column, view[name][3:])


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_state_has_each_tensor_once(first, second):
    method = whole(first, second)
    names = [*method.state_dict()]
    places = [tensor.data_ptr() for tensor in method.state_dict().values() if tensor.numel()]
    assert len(places) == len(set(places))
    assert not [n for n in names if n.startswith(("first.backbone.", "second.head."))]
    parameters = [*method.parameters()]
    assert len(parameters) == len({id(parameter) for parameter in parameters})
    assert {n.partition(".")[0] for n in method.export()} == {"backbone", "head"}
    for part in (method.first, method.second):
        assert part.backbone is method.backbone and part.head is method.head


def test_the_head_is_trained_where_one_of_the_two_classifies():
    def trained(first: dict, second: dict) -> set[bool]:
        return {p.requires_grad for p in made(first, second).head.parameters()}

    assert trained(HASHTAGS, SIMCLR) == trained(SIMCLR, HASHTAGS) == {True}
    assert trained(SIMCLR, BYOL_SMALL) == {False}
    nested = {"name": "weighted", "first": BYOL_SMALL, "second": HASHTAGS}
    assert trained(SIMCLR, nested) == {True}


@pytest.mark.parametrize(("first", "second"), [(HASHTAGS, MOCO), (BARLOW, HASHTAGS)])
def test_gradients_reach_all_that_is_trained(first, second):
    method = made(first, second)
    method.before_step(Pace())
    method(method.views(posts(), draws()))["loss"].backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize(("first", "second"), [(HASHTAGS, SIMCLR), (SIMCLR, HASHTAGS)])
def test_the_network_is_asked_as_the_one_that_classifies(first, second):
    method = whole(first, second).eval()
    assert method.target == "hashtags" and method.reads.keys() == {"image", "hashtags"}
    assert not method.exact_in_parts and not method.shardable
    view = method.test_views(posts(), draws())
    assert method.predict(view)["scores"].shape == (8, 4)
    assert set(method.targets(view)) == {"hashtags"}
    torch.testing.assert_close(method.plain(posts()["image"]), view["image"])
    assert method.features(view["image"]).shape == (8, method.backbone.channels[-1])
    # whether they collapse shows in what is compared without classes
    assert method.embedded(view["image"]).shape == (8, 8)


def test_of_two_without_classes_the_first_is_asked():
    method = made(SIMCLR, BYOL_SMALL)
    assert method.target == "label" and method.reads.keys() == {"image"}
    view = method.test_views(posts(), draws())
    assert view["image"].shape[:2] == (8, 2)
    assert method.predict(view)["scores"].shape == (8, 64)


def test_what_is_read_is_of_both_whatever_their_order():
    for pair in ((HASHTAGS, SIMCLR), (SIMCLR, HASHTAGS)):
        section = {"name": "weighted"} | dict(zip(("first", "second"), pair, strict=True))
        assert columns_read(section) == {"image": {}, "hashtags": {}}


def test_facts_are_those_of_the_one_that_classifies():
    rotation = {"name": "rotation"}
    assert whole(SIMCLR, rotation).head.classes == 4
    facts = Weighted.facts({"classes": 9}, first=SimCLR, second=partial(Hashtags))
    assert facts == {"classes": 9, "target": "hashtags"}
    with pytest.raises(ValueError, match="hashtags and rotation both classify, and one head"):
        whole(HASHTAGS, rotation)
    puzzles = [{"name": "jigsaw", "permutations": count} for count in (8, 16)]
    with pytest.raises(ValueError, match="jigsaw and jigsaw_2 both classify"):
        whole(*puzzles)
    assert whole(puzzles[0], puzzles[0]).head.classes == 8


def test_columns_that_are_read_unlike_are_refused():
    class Large(SimCLR):
        reads: ClassVar[dict] = {"image": {"size": 64}}

    class Small(SimCLR):
        reads: ClassVar[dict] = {"image": {"size": 32}}

    assert Weighted.columns(Hashtags, Large) == {"image": {"size": 64}, "hashtags": {}}
    with pytest.raises(ValueError, match="'image' by different options"):
        Weighted.columns(Small, Large)


def test_two_optimizers_are_refused():
    class Turns(Hashtags):
        def phases(self):
            return {"trunk": (self.backbone.parameters(), {}), "rest": ([], {})}

    head = build("heads", {"name": "linear"}, channels=[10], classes=4)
    with pytest.raises(ValueError, match=r"optimizers of its own \(trunk, rest\)"):
        Weighted(Normless(), head, Turns, SimCLR)


def test_a_sum_within_a_sum_stands_second():
    inner = {"name": "weighted", "first": HASHTAGS, "second": SIMCLR}
    method = whole(BARLOW, inner)
    view = method.views(posts(), draws())
    assert {"image", "second_image", "second_hashtags", "second_second_image"} == set(view)
    found = method(view)
    torch.testing.assert_close(found["loss"], found["barlow_twins"] + found["weighted"])
    assert method.target == "hashtags" and method.predict(method.test_views(posts(), draws()))
    with pytest.raises(ValueError, match="exchange first and second"):
        whole(inner, BARLOW)


def test_hooks_reach_both():
    method = made(BYOL_SMALL | {"momentum": 0.5}, MOCO)
    calls = []
    for part, name in ((method.first, "first"), (method.second, "second")):
        part.before_update = partial(calls.append, name)
    method.before_step(Pace(2, 4))
    method(method.views(posts(), draws()))["loss"].backward()
    method.before_update()
    place = method.second.queue.place.item()
    weight = next(method.first.teacher.backbone.parameters()).clone()
    with torch.no_grad():
        next(method.backbone.parameters()).add_(1.0)
    method.after_step(0.75)
    assert calls == ["first", "second"]
    assert method.first.momentum == 0.75 and method.second.queue.place == place + 8
    followed = next(method.first.teacher.backbone.parameters())
    torch.testing.assert_close(followed, weight + 0.25)
    found = method.monitors()
    assert found["byol_momentum"] == 0.75 and found["moco_momentum"] == 0.999
    assert isinstance(method.first, BYOL)


def test_it_is_trained_and_kept(tmp_path):
    """By the loop itself; the file has the network alone, and its sections make it again."""
    method = whole(HASHTAGS, MOCO)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    reported = {}
    training = Training(Recipe(8, 0.1, warmup=0), 1, report=lambda v, _: reported.update(v))
    train(method, Posts(), training)
    assert {"loss", "loss_hashtags", "loss_moco"} <= reported.keys()
    moved = {
        name for name, now in method.state_dict().items() if not torch.equal(now, before[name])
    }
    for part in ("backbone.", "head.", "second.projector.", "second.teacher.", "second.queue."):
        assert any(name.startswith(part) for name in moved), part
    sections = {
        "backbone": TINY | {"stem_stride": 1},
        "objective": {"name": "weighted", "first": HASHTAGS, "second": MOCO},
        "head": {"name": "linear"},
    }
    save_network(tmp_path / "w.safetensors", method, sections, list("abcd"))
    again, names = load_network(tmp_path / "w.safetensors")
    images = method.plain(posts()["image"])
    assert names == list("abcd")
    torch.testing.assert_close(again.eval().logits(images), method.eval().logits(images))


class Killed(Exception):
    """As kill -9 at the end of a step."""


def test_a_killed_training_ends_with_the_same_bytes(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0")
    # each state is waited for: steps as short as these would pass while it is written
    monkeypatch.setattr(Checkpoints, "busy", lambda checkpoints: checkpoints.wait())

    def last_state(folder: Path, stop: int | None) -> bytes:
        def report(values: dict[str, float], step: int) -> None:
            if step == stop:
                raise Killed

        recipe = Recipe(8, 0.1, per=8, warmup=0)
        training = Training(recipe, 2, state=folder, report=report, per_report=1)
        train(made(HASHTAGS, MOCO), Posts(), training)
        return max(folder.glob("*.safetensors")).read_bytes()

    whole = last_state(tmp_path / "whole", None)
    with pytest.raises(Killed):
        last_state(tmp_path / "cut", 4)
    assert list((tmp_path / "cut").glob("*.safetensors"))
    assert last_state(tmp_path / "cut", None) == whole


def taught(method: nn.Module, module: nn.Module, rows: slice) -> dict[str, Tensor]:
    """Gradients of a step of seven samples, and the queue after it."""
    columns = {name: column[rows] for name, column in posts(7).items()}
    # as one in float32 makes them
    view = made(HASHTAGS, MOCO).views(
        columns, Draws(torch.Generator().manual_seed(2), rows.start, 7)
    )
    share = (rows.stop - rows.start) * present_workers().world / 7
    view = {key: t.double() if t.is_floating_point() else t for key, t in view.items()}
    (module(view)["loss"] * share).backward()
    method.after_step(0.5)
    found = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return found | {"queue": method.second.queue.vectors}


def part_of(folder: Path) -> None:
    torch.set_num_threads(1)
    workers, method = present_workers(), made(HASHTAGS, MOCO).double()
    found = taught(method, wrapped(method, sharded=False), workers.part(7))
    if workers.first:
        checkpoint.save_tensors(folder / "grads.safetensors", found, {})


def test_two_workers_have_the_gradient_and_the_queue_of_one(tmp_path, one_thread):
    launch(2, part_of, tmp_path)
    together, _ = checkpoint.load_tensors(tmp_path / "grads.safetensors")
    method = made(HASHTAGS, MOCO).double()
    alone = taught(method, method, slice(0, 7))
    assert together.keys() == alone.keys() and any(name.startswith("head.") for name in alone)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-11)


def test_micro_batches_are_refused_where_one_has_no_use_for_them():
    recipe = Recipe(8, micro=4)
    with pytest.raises(ValueError, match="the loss of Weighted is of a whole batch"):
        Learner(whole(HASHTAGS, SIMCLR), recipe, ALONE)
    assert Learner(whole(HASHTAGS, HASHTAGS), recipe, ALONE).objective.exact_in_parts


def pretraining(**objective) -> None:
    """A params.yaml whose first pretraining has this objective."""
    changed = params.PARAMS | {"pretrain": dict(params.PARAMS["pretrain"])}
    name = next(iter(changed["pretrain"]))
    changed["pretrain"][name] = changed["pretrain"][name] | {"objective": objective}
    params.written(changed)


def test_a_pretraining_of_both_passes_the_check_of_params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pretraining(name="weighted", first=HASHTAGS, second=MOCO, weights=[1.0, 0.5])
    validate.validate()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": {"name": "hashtag"}}, r"baseline-hashtags.objective.*unknown name 'hashtag'"),
        ({"second": {"name": "moco", "queues": 1}}, r"unknown key 'queues'"),
        ({"second": {"name": "moco", "temperature": 0}}, r"temperature.*greater than 0"),
        ({"weights": [1.0, 0.0]}, r"weights.*greater than 0"),
        ({"weights": [1.0]}, r"weights"),
        ({"second": {"name": "supervised"}}, "both classify"),
    ],
)
def test_what_is_wrong_in_it_is_told_with_its_place(change, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pretraining(**{"name": "weighted", "first": HASHTAGS, "second": MOCO} | change)
    with pytest.raises(ValueError, match=message):
        validate.validate()


def test_a_state_depends_on_the_code_of_both():
    section = {"objective": {"name": "weighted", "first": HASHTAGS, "second": MOCO}}
    files = {file.name for file in code_files("pretrain", section)}
    assert {"weighted.py", "hashtags.py", "moco.py", "queue.py"} <= files
    assert "byol.py" not in files
