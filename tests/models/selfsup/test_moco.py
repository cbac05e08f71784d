"""MoCo: golden values of losses and of three steps, the queue, the teacher, shuffled batch norm."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.network import network
from models.blocks.augment.draws import Draws
from models.blocks.methods.queue import Queue
from models.objectives.moco import MoCo, info_nce
from tests.models.selfsup.toys import Normed, Normless, Photos, Vectors, method, waves


def unit(shape: tuple[int, ...], shift: float) -> Tensor:
    return F.normalize(waves(shape, shift), dim=1)


def objective(backbone: nn.Module | None = None, **options) -> MoCo:
    torch.manual_seed(0)
    sizes = {"queue": 24, "width": 6} | options
    return method("moco", backbone or Normless(), **sizes).double()


def drawn(module: MoCo, n: int = 8, seed: int = 0, **part: int) -> dict[str, Tensor]:
    """A batch of views of the first photos."""
    batch = {"image": Photos().pixels[:n]}
    found = module.views(batch, Draws(torch.Generator().manual_seed(seed), **part))
    return found | {"image": found["image"].double()}


@pytest.mark.parametrize(
    ("temperature", "loss"), [(0.07, 6.6291129390), (0.2, 3.2942935188), (0.1, 5.0137535320)]
)
def test_info_nce_is_golden(temperature, loss):
    queue = F.normalize(waves((8, 16), 2), dim=0).T
    found = info_nce(unit((4, 8), 0), unit((4, 8), 1)[:, None], queue, temperature)
    assert found.item() == pytest.approx(loss, rel=1e-8)


@pytest.mark.parametrize(
    ("views", "loss"), [(2, 5.0252407599), (3, 9.8531569957), (4, 13.4750927201)]
)
def test_keys_of_several_views_are_golden(views, loss):
    keys = torch.stack([unit((4, 8), shift) for shift in range(1, views)], 1)
    queue = unit((16, 8), 4)
    found = info_nce(unit((4, 8), 0), keys, queue, 0.1)
    assert found.item() == pytest.approx(loss, rel=1e-8)
    torch.testing.assert_close(info_nce(unit((4, 8), 0), keys.flip(1), queue, 0.1), found)


def test_it_is_the_cross_entropy_of_the_key_and_the_queue():
    queries, keys, queue = unit((4, 8), 0), unit((4, 8), 1), unit((16, 8), 4)
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(info_nce(queries, keys[:, None], queue, 0.2), expected)


LOSSES = [5.2615849331, 7.9128532681, 6.2517687726]
PLACES = [2, 0, 2]
QUERY = [0.8083971674, 0.7841675988, 0.8267156973]
KEY = [0.8414709848, 0.8381636031, 0.8327640026]
QUEUE = [0.7463255326, 1.5312967548, 1.0646459847]


def test_three_steps_are_golden():
    """Queue, teacher and weights of the authors' code.

    There the teacher follows in the next forward pass: it is looked at before it follows here.
    """
    backbone = Vectors(waves((4, 6), 1), waves((4,), 2))
    module = method("moco", backbone, queue=4, width=4, momentum=0.9, temperature=0.2).double()
    module.projector = module.teacher.projector = nn.Identity()
    module.queue.vectors.copy_(F.normalize(waves((4, 4), 3), dim=0).T)
    optimizer = torch.optim.SGD(backbone.parameters(), 0.1)
    for t in range(3):
        images = torch.stack([waves((2, 6), 10 + t), waves((2, 6), 20 + t)], 1)
        loss = module({"image": images, "order": torch.tensor([1, 0])})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        key = module.teacher.backbone.linear.weight[0, 0].item()
        module.after_step((t + 1) / 3)
        found = (loss, module.queue.place, backbone.linear.weight[0, 0], module.queue.vectors.sum())
        expected = [LOSSES[t], PLACES[t], QUERY[t], QUEUE[t], KEY[t]]
        assert [*map(Tensor.item, found), key] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("layers", "params"), [(2, 27_966_656), (1, 23_770_304)])
def test_the_encoder_has_the_published_size(layers, params):
    with torch.device("meta"):
        section = {"name": "resnet", "depths": [3, 4, 6, 3]}
        settings = {"name": "moco", "layers": layers, "queue": 8}
        module = network(section, settings, {"name": "linear"}, classes=2)
    parts = [*module.backbone.parameters(), *module.projector.parameters()]
    assert sum(part.numel() for part in parts) == params


def test_keys_and_queue_have_no_gradient():
    module = objective()
    loss = module(drawn(module))["loss"]
    loss.backward()
    assert all(part.grad is not None for part in module.backbone.parameters())
    others = [*module.teacher.parameters(), *module.head.parameters()]
    assert not any(part.requires_grad for part in others)
    assert not module.queue.vectors.requires_grad and not module.entering.requires_grad


def test_forward_changes_nothing():
    module = objective(Normless())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    losses = [module(drawn(module))["loss"] for _ in range(2)]
    assert torch.equal(*losses)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("n", [8, 7, 5])
def test_the_queue_holds_the_last_keys_whatever_the_batch(n):
    """The authors' code asks for a batch that divides the queue."""
    module, keys = objective(), []
    for step in range(5):
        module(drawn(module, n, step))
        keys.append(module.entering.clone())
        module.after_step(step / 5)
    place = int(module.queue.place)
    assert place == 5 * n % 24
    oldest_first = module.queue.vectors.roll(-place, 0)
    assert torch.equal(oldest_first, torch.cat([objective().queue.vectors, *keys])[-24:])


def test_all_keys_of_several_views_enter():
    module = objective(views={"name": "crops", "views": 4})
    batch = drawn(module, 5)
    assert batch["image"].shape[:2] == (5, 4)
    module(batch)
    assert module.entering.shape == (15, 6)
    module.after_step(0.1)
    assert module.queue.place == 15
    # view by view, of a teacher that is still as the network
    flat = batch["image"][:, 1:].transpose(0, 1).flatten(0, 1)
    expected = F.normalize(module.embedded(flat), dim=1)
    torch.testing.assert_close(module.queue.vectors[:15], expected.detach())


def test_the_teacher_follows_with_a_momentum_that_rises_to_one():
    module = objective(momentum=0.994, anneal=True)
    for progress, momentum in zip(
        (0, 0.25, 0.5, 0.75, 1), (0.994, 0.9948786797, 0.997, 0.9991213203, 1), strict=True
    ):
        module.entering = torch.zeros(1, 6)
        module.after_step(progress)
        assert module.monitors()["momentum"] == pytest.approx(momentum, rel=1e-9)
    constant = objective(momentum=0.994)
    constant.entering = torch.zeros(1, 6)
    constant.after_step(0.5)
    assert constant.monitors() == {"momentum": 0.994}


def test_the_similarity_of_views_is_told():
    module = objective()
    batch = drawn(module)
    batch["image"] = batch["image"][:, :1].repeat(1, 2, 1, 1, 1)
    module(batch)
    assert module.monitors()["positive_similarity"] == pytest.approx(1)


def test_the_order_of_keys_changes_nothing_without_batch_norm():
    module = objective()
    batch = drawn(module)
    losses = []
    for order in (batch["order"], torch.arange(8), torch.arange(8).flip(0)):
        losses.append(module(batch | {"order": order})["loss"])
        losses.append(module.entering)
    for loss, keys in zip(losses[2::2], losses[3::2], strict=True):
        torch.testing.assert_close(loss, losses[0])
        torch.testing.assert_close(keys, losses[1])


def test_with_batch_norm_keys_have_other_companions_than_queries():
    """A part of the keys is normalised as those samples that the order says."""
    module = objective(Normed(), splits=4)
    batch = drawn(module)
    assert sorted(batch["order"].tolist()) == list(range(8))
    module(batch)
    found = module.entering
    expected = torch.empty_like(found)
    for pair in batch["order"].split(2):
        own = module.encoded(batch["image"][pair, 1:], module.backbone, module.projector)
        expected[pair] = own[:, 0]
    torch.testing.assert_close(found, expected)
    module(batch | {"order": torch.arange(8)})
    assert (module.entering - found).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("n", "splits", "parts"), [(16, 8, 8), (16, 1, 1), (9, 8, 4), (3, 8, 1), (1, 8, 1), (17, 4, 4)]
)
def test_no_part_has_a_single_sample(n, splits, parts):
    module = objective(splits=splits)
    assert module.parts(n) == parts
    sizes = [len(part) for part in torch.zeros(n).tensor_split(parts)]
    assert min(sizes) >= min(2, n) and max(sizes) - min(sizes) <= 1


def test_samples_in_another_order_have_the_same_loss():
    module = objective()
    batch, order = drawn(module), torch.tensor([3, 1, 0, 7, 6, 2, 5, 4])
    found = [module(batch)["loss"], module(batch | {"image": batch["image"][order]})["loss"]]
    torch.testing.assert_close(*found)


def test_it_learns_to_tell_samples():
    """Images of a colour each, half of them in turn, told from those of the step before."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (16, 1, 1, 3), dtype=torch.uint8, generator=generator)
    images = images.expand(16, 16, 16, 3)
    crops = {"name": "crops", "jitter_share": 0, "grey": 0}
    module = objective(queue=8, momentum=0.9, temperature=0.1, views=crops)
    optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9)
    losses = []
    for step in range(60):
        half = images[step % 2 :: 2]
        batch = module.views({"image": half}, Draws(torch.Generator().manual_seed(step)))
        loss = module(batch | {"image": batch["image"].double()})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        module.after_step((step + 1) / 60)
        losses.append(loss.item())
    # that of guessing is the logarithm of nine
    assert losses[2] > 1.8
    assert sum(losses[-10:]) / 10 < 1.4


@pytest.mark.parametrize("temperature", [0.1, 0.2])
def test_the_loss_and_the_queue_are_those_of_lightly(temperature):
    """Its memory bank drops what of a batch would go on at its start: here all of a batch fits."""
    lightly = pytest.importorskip("lightly.loss")
    loss = lightly.NTXentLoss(temperature=temperature, memory_bank_size=(16, 8)).double()
    queries, keys, queue = unit((4, 8), 0), unit((4, 8), 1), Queue(16, 8).double()
    loss.memory_bank.bank = queue.vectors.clone()
    expected = loss(queries.requires_grad_(), keys)
    found = info_nce(queries, keys[:, None], queue.vectors, temperature)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)
    queue.push(keys)
    torch.testing.assert_close(queue.vectors, loss.memory_bank.bank)
