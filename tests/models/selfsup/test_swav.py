"""SwAV: swapped prediction to the digit, equal clusters, the queue, what learns and what rests."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.network import network
from models.blocks.methods.method import Pace
from models.objectives.swav import SwAV, sinkhorn
from tests.models.selfsup.toys import Same, after_epochs, waves
from tests.support.networks import TINY

SMALL = {"prototypes": 6, "hidden": 16, "width": 8}


def unit(shape: tuple[int, ...], start: float) -> Tensor:
    return F.normalize(waves(shape, start), dim=1)


def bare(prototypes: Tensor, **options) -> SwAV:
    """The objective whose views are the projections themselves."""
    count, width = prototypes.shape
    made = SwAV(Same(8), Same(8), prototypes=count, hidden=8, width=width, **options).double()
    made.projector = nn.Identity()
    made.prototypes.weight.data = prototypes
    return made


def golden(views: int) -> dict[str, Tensor]:
    """Clips of four samples; the first of the golden values is the query."""
    return {"image": torch.stack([unit((4, 8), start) for start in range(views)], 1)}


@pytest.mark.parametrize(("views", "loss"), [(2, 3.5332629549), (4, 10.8078436035)])
def test_losses_of_clips_are_golden(views, loss):
    method = bare(unit((5, 8), 3))
    assert method(golden(views))["loss"].item() == pytest.approx(loss, rel=1e-8)


def test_small_crops_are_told_but_not_assigned():
    views = golden(4)["image"]
    method = bare(unit((5, 8), 3))
    found = method({"image": views[:, :2], "small": views[:, 2:]})["loss"]
    assert found.item() == pytest.approx(10.8078436035, rel=1e-8)
    assert method.seen.shape == (4, 2, 8)


def test_views_are_normalised():
    method, batch = bare(unit((5, 8), 3)), golden(2)
    lengths = 1.5 + waves((4, 2, 1), 0)
    found = method({"image": batch["image"] * lengths})["loss"]
    torch.testing.assert_close(found, method(batch)["loss"])


def test_the_sum_over_pairs_as_the_paper_has_it():
    views, prototypes = golden(4)["image"].unbind(1), unit((5, 8), 3)
    terms = []
    for place in range(2):
        codes = sinkhorn(views[place] @ prototypes.T, 0.05, 3)
        for view in set(range(4)) - {place}:
            logs = (views[view] @ prototypes.T / 0.1).log_softmax(1)
            terms.append(-(codes * logs).sum(1).mean())
    found = bare(prototypes)(golden(4))["loss"]
    torch.testing.assert_close(found, torch.stack(terms).mean())


def test_with_two_views_swapping_them_changes_nothing():
    method, batch = bare(unit((5, 8), 3)), golden(2)
    swapped = {"image": batch["image"].flip(1)}
    torch.testing.assert_close(method(swapped)["loss"], method(batch)["loss"])


def test_the_order_of_samples_does_not_matter():
    method, batch = bare(unit((5, 8), 3)), golden(4)
    order = {"image": batch["image"][[2, 0, 3, 1]]}
    torch.testing.assert_close(method(order)["loss"], method(batch)["loss"])


def test_shares_of_a_sample_are_one_and_of_clusters_equal():
    scores = unit((12, 8), 0) @ unit((5, 8), 3).T
    for rounds in (1, 3, 2000):
        shares = sinkhorn(scores, 0.05, rounds)
        torch.testing.assert_close(shares.sum(1), torch.ones(12, dtype=torch.float64))
    # doubly stochastic in the limit
    sizes = torch.full((5,), 12 / 5, dtype=torch.float64)
    torch.testing.assert_close(shares.sum(0), sizes, rtol=1e-6, atol=0)


def test_shares_are_those_of_plain_divisions():
    scores = unit((12, 8), 0) @ unit((5, 8), 3).T
    shares = (scores / 0.05).exp()
    for _ in range(3):
        shares = shares / shares.sum(0)
        shares = shares / shares.sum(1, keepdim=True)
    torch.testing.assert_close(sinkhorn(scores, 0.05, 3), shares)


@pytest.mark.parametrize("change", ["a constant", "a level of each prototype"])
def test_what_all_samples_have_more_of_changes_no_share(change):
    scores = unit((12, 8), 0) @ unit((5, 8), 3).T
    more = 0.7 if change == "a constant" else waves((5,), 2)
    torch.testing.assert_close(sinkhorn(scores + more, 0.05, 3), sinkhorn(scores, 0.05, 3))


def test_a_small_epsilon_neither_overflows_nor_empties_a_cluster():
    scores = (unit((12, 8), 0) @ unit((5, 8), 3).T).float()
    shares = sinkhorn(scores, 0.001, 3)
    assert shares.isfinite().all() and shares.sum(1).allclose(torch.ones(12))


def test_codes_have_no_gradient():
    """The gradient is that of the cross entropy with codes that are constants."""
    prototypes, batch = unit((5, 8), 3), golden(2)
    method = bare(prototypes.clone())
    method(batch)["loss"].backward()
    free = prototypes.clone().requires_grad_()
    scores = batch["image"] @ free.T
    codes = [sinkhorn(each, 0.05, 3).detach() for each in scores.unbind(1)]
    terms = [-(codes[i] * (scores[:, 1 - i] / 0.1).log_softmax(1)).sum(1).mean() for i in (0, 1)]
    (sum(terms) / 2).backward()
    torch.testing.assert_close(method.prototypes.weight.grad, free.grad)


def tiny(**options) -> nn.Module:
    torch.manual_seed(0)
    section = {"name": "swav"} | SMALL | options
    return network(TINY | {"stem_stride": 1}, section, {"name": "linear"}, classes=4)


def crops(samples: int = 4, seed: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(samples, 2, 3, 16, 16, generator=generator),
        "small": torch.randn(samples, 3, 3, 8, 8, generator=generator),
    }


def test_gradients_reach_all_that_learns():
    method = tiny()
    with torch.no_grad():
        for parameter in method.backbone.parameters():
            if not parameter.any():
                # residual branches that start at zero teach nothing below them
                parameter += 0.5
    method(crops())["loss"].backward()
    for name, parameter in method.named_parameters():
        if name.startswith("head."):
            assert not parameter.requires_grad and parameter.grad is None
        else:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_prototypes_stay_on_the_sphere():
    method = tiny()
    lengths = torch.ones(6)
    torch.testing.assert_close(method.prototypes.weight.norm(dim=1), lengths)
    optimizer = torch.optim.SGD(method.parameters(), 1.0)
    method(crops())["loss"].backward()
    optimizer.step()
    assert not method.prototypes.weight.norm(dim=1).allclose(lengths)
    method.after_step(0.1)
    torch.testing.assert_close(method.prototypes.weight.norm(dim=1), lengths)


def test_prototypes_rest_in_the_first_epochs():
    method = tiny(freeze_prototypes=2)
    for iteration, moves in ((0, False), (7, False), (8, True)):
        method.before_step(Pace(iteration, 40, 4))
        method(crops())["loss"].backward()
        method.before_update()
        assert (method.prototypes.weight.grad is not None) == moves
        assert method.projector[0].weight.grad is not None
        method.zero_grad()


def step(method: nn.Module, iteration: int, batch: dict[str, Tensor]) -> float:
    method.before_step(Pace(iteration, 12, 2))
    loss = method(batch)["loss"].item()
    method.after_step((iteration + 1) / 12)
    return loss


def test_the_queue_is_assigned_with_the_batch_when_it_is_full():
    """8 projections of each view, 4 a step: it is full after two steps, of one epoch."""
    prototypes = unit((5, 8), 3)
    method = bare(prototypes, queue=8, queue_start=0)
    batches = []
    for start in range(4):
        views = [unit((4, 8), 10 * start + view) for view in range(3)]
        batches.append({"image": torch.stack(views, 1)})
    for iteration, batch in enumerate(batches):
        plain = bare(prototypes)(batch)["loss"].item()
        found = step(method, iteration, batch)
        assert (found != pytest.approx(plain, rel=1e-6)) == (iteration >= 2)
    views, past = batches[3]["image"], torch.cat([each["image"] for each in batches[1:3]])
    targets = []
    for view in range(2):
        every = torch.cat([views[:, view], past[:, view]]) @ prototypes.T
        targets.append(sinkhorn(every, 0.05, 3)[:4])
    logs = (views @ prototypes.T / 0.1).log_softmax(2)
    terms = []
    for view, other in ((0, 1), (0, 2), (1, 0), (1, 2)):
        terms.append(-(targets[view] * logs[:, other]).sum(1).mean())
    assert found == pytest.approx(torch.stack(terms).mean().item(), rel=1e-12)


def test_the_queue_is_not_used_before_its_epoch():
    method, plain = bare(unit((5, 8), 3), queue=4, queue_start=3), bare(unit((5, 8), 3))
    for iteration in range(8):
        batch = {"image": torch.stack([unit((4, 8), iteration + view) for view in (0, 9)], 1)}
        loss, without = step(method, iteration, batch), step(plain, iteration, batch)
        # two steps an epoch
        assert (loss != pytest.approx(without, rel=1e-6)) == (iteration >= 6)


def test_a_forward_changes_no_state():
    method = tiny(queue=8).eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method(crops())
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_from_its_state_it_goes_on_as_it_was():
    options = {"queue": 8, "queue_start": 1}
    method, other = tiny(**options), tiny(**options)
    for iteration in range(3):
        step(method, iteration, crops(seed=iteration))
    other.load_state_dict(method.state_dict())
    for iteration in range(3, 6):
        losses = [step(each, iteration, crops(seed=iteration)) for each in (method, other)]
        assert losses[0] == losses[1]
    assert {name.split(".")[0] for name in method.export()} == {"backbone", "head"}


def test_half_precision_answers_as_single():
    method = tiny().eval()
    whole = method(crops())["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        half = method(crops())["loss"]
    assert half.dtype == torch.float32 and half.item() == pytest.approx(whole.item(), rel=0.05)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_prototypes_that_rest_are_not_even_decayed(optimizer):
    """Two steps an epoch, with momentum: what rests in the first moves in the second."""
    found = after_epochs("swav", "prototypes.weight", optimizer)
    torch.testing.assert_close(found[1], found[0])
    assert not found[2].allclose(found[1], rtol=1e-5)


@pytest.mark.parametrize("queue", [0, 12])
def test_lightlys_loss_is_the_same(queue):
    """On one worker: of several its codes are of all only where it is told to gather."""
    loss = pytest.importorskip("lightly.loss").SwaVLoss()
    prototypes = unit((5, 8), 3)
    for views in (2, 6):
        batch = {"image": torch.stack([unit((4, 8), start) for start in range(views)], 1)}
        method = bare(prototypes, queue=queue, queue_start=0)
        past = None
        if queue:
            for store, start in zip(method.queues, (20, 30), strict=True):
                store.push(unit((queue, 8), start))
            method.pushed.fill_(queue)
            past = [store.vectors @ prototypes.T for store in method.queues]
        method.before_step(Pace())
        scores = [view @ prototypes.T for view in batch["image"].unbind(1)]
        expected = loss(scores[:2], scores[2:], past)[0]
        torch.testing.assert_close(method(batch)["loss"], expected)


def test_entropy_of_codes_tells_when_all_views_look_alike():
    method = bare(unit((5, 8), 3))
    alike = golden(2)["image"][:1].expand(4, -1, -1)
    assert method({"image": alike})["entropy"].item() == pytest.approx(math.log(5))
    assert method(golden(2))["entropy"].item() < 0.9 * math.log(5)


def trained() -> tuple[list[float], float, int]:
    """Some steps on views of eight pictures, with as many prototypes.

    The losses, how far apart pictures are embedded, and how many prototypes they are told to be.
    """
    method = tiny(hidden=128, width=16, prototypes=8)
    generator = torch.Generator().manual_seed(3)
    pictures = torch.randn(8, 3, 2, 2, generator=generator)
    optimizer, losses = torch.optim.AdamW(method.parameters(), 0.003), []

    def views(count: int, side: int) -> Tensor:
        plain = F.interpolate(pictures, (side, side), mode="bilinear")[:, None]
        return plain + 0.1 * torch.randn(8, count, 3, side, side, generator=generator)

    for iteration in range(40):
        batch = {"image": views(2, 16), "small": views(2, 8)}
        method.before_step(Pace(iteration, 40, 5))
        loss = method(batch)["loss"]
        loss.backward()
        method.before_update()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step((iteration + 1) / 40)
        losses.append(loss.item())
    with torch.no_grad():
        embedded = F.normalize(method.embedded(batch["image"][:, 0]), dim=1)
        told = (embedded @ method.prototypes.weight.T).argmax(1)
    return losses, embedded.std(0).mean().item(), len(told.unique())


def test_pictures_keep_apart_and_all_prototypes_are_used():
    losses, spread, used = trained()
    assert losses[-1] < 0.1 * losses[0] and used >= 7
    # of 16 numbers of a vector of length one it is a quarter at the most
    assert spread > 0.2


def test_without_equal_clusters_prototypes_fall_out_of_use(monkeypatch):
    def plain(scores: Tensor, epsilon: float, rounds: int) -> Tensor:
        return (scores / epsilon).softmax(1)

    monkeypatch.setattr("models.objectives.swav.sinkhorn", plain)
    losses, _, used = trained()
    assert losses[-1] < 0.1 * losses[0] and used <= 5
