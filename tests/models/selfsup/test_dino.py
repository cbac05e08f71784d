"""DINO: losses of moving centres to the digit, the head, what learns and what does not."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.network import network
from models.blocks.augment.draws import Draws
from models.blocks.methods.crossview import cross_view_entropy
from models.blocks.methods.method import Pace
from models.objectives.dino import DINO, DINOHead
from tests.models.selfsup.toys import Same, after_epochs, waves
from tests.support.networks import TINY

# two teacher views of two samples, 12 prototypes: losses of four epochs on the same batch, whose
# centre moves and whose temperature rises (facebookresearch/dino, and with 2 and 4 views lightly)
LOSSES = {
    2: [40.4500042298, 40.5792182883, 40.6378440048, 40.7941759822],
    4: [33.7922098711, 33.8184115775, 33.8293050903, 33.8611146402],
    10: [29.9082959310, 29.9145280303, 29.9165941860, 29.9241447040],
}
WARMED = {"warmup_temperature": 0.04, "teacher_temperature": 0.07, "warmup_epochs": 3}
SMALL = {"prototypes": 24, "hidden": 16, "bottleneck": 8}


class Given(nn.Module):
    """A projection that answers what it is told."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer


def by_view(logits: Tensor, views: int) -> Tensor:
    """Rows view by view, as the authors have them -> rows sample by sample, as here."""
    return logits.unflatten(0, (views, -1)).transpose(0, 1).flatten(0, 1)


def told(student: Tensor, teacher: Tensor, views: int, **options) -> DINO:
    """The objective whose two networks give these logits, rows view by view."""
    made = DINO(Same(6), Same(6), prototypes=student.shape[1], hidden=8, bottleneck=4, **options)
    made = made.double()
    made.projector = Given(by_view(student, views))
    made.teacher.projector = Given(by_view(teacher, 2))
    return made


def batch_of(views: int, samples: int = 2, small: int = 0) -> dict[str, Tensor]:
    made = {"image": torch.zeros(samples, views - small, 1, dtype=torch.float64)}
    if small:
        made["small"] = torch.zeros(samples, small, 1, dtype=torch.float64)
    return made


def epochs(method: DINO, batch: dict[str, Tensor], count: int = 4) -> list[float]:
    """The losses of steps with one batch, one in each epoch."""
    losses = []
    for epoch in range(count):
        method.before_step(Pace(epoch, count, 1))
        losses.append(method(batch)["loss"].item())
        method.after_step((epoch + 1) / count)
    return losses


@pytest.mark.parametrize("views", LOSSES)
def test_losses_of_a_moving_centre_are_golden(views):
    student, teacher = waves((2 * views, 12), 0, 3), waves((4, 12), 1, 3)
    method = told(student, teacher, views, **WARMED)
    assert epochs(method, batch_of(views)) == pytest.approx(LOSSES[views], rel=1e-8)
    assert method.centre[0].item() == pytest.approx(0.1646532236, rel=1e-8)


def test_small_crops_count_as_views():
    method = told(waves((20, 12), 0, 3), waves((4, 12), 1, 3), 10, **WARMED)
    assert epochs(method, batch_of(10, small=8)) == pytest.approx(LOSSES[10], rel=1e-8)


def test_a_second_input_is_golden():
    """Four samples of 10 prototypes, the teacher's at .04 throughout."""
    method = told(waves((8, 10), 0, 3), waves((4, 10), 1, 3), 4)
    first, second = epochs(method, batch_of(4), 2)
    assert first == pytest.approx(18.8898218312, rel=1e-8)
    assert second == pytest.approx(18.9666144569, rel=1e-8)


def test_a_forward_leaves_the_centre_and_a_step_takes_each_logit_once():
    method = told(waves((8, 10), 0, 3), waves((4, 10), 1, 3), 4)
    method(batch_of(4))
    assert not method.centre.any()
    method.after_step(0.1)
    assert method.centre[0].item() == pytest.approx(0.0184874378, rel=1e-8)
    kept = method.centre.clone()
    method.after_step(0.2)
    assert torch.equal(method.centre, kept)


def test_the_centre_is_a_moving_average_of_the_mean_logits():
    teacher = waves((4, 12), 1, 3)
    method = told(waves((8, 12), 0, 3), teacher, 4, centre_momentum=0.8)
    epochs(method, batch_of(4), 5)
    torch.testing.assert_close(method.centre, teacher.mean(0) * (1 - 0.8**5))


def test_the_authors_loop_over_pairs_is_the_same():
    student, teacher = waves((20, 12), 0, 3), waves((4, 12), 1, 3)
    answers = (teacher / 0.04).softmax(1).chunk(2)
    logs = (student / 0.1).log_softmax(1).chunk(10)
    terms = []
    for place, answer in enumerate(answers):
        for view in set(range(10)) - {place}:
            terms.append(-(answer * logs[view]).sum(1).mean())
    assert len(terms) == 18
    found = told(student, teacher, 10)(batch_of(10))["loss"]
    torch.testing.assert_close(found, torch.stack(terms).mean())


def test_a_constant_on_all_logits_of_the_teacher_changes_nothing():
    student, teacher = waves((8, 12), 0, 3), waves((4, 12), 1, 3)
    losses = [epochs(told(student, teacher + shift, 4), batch_of(4)) for shift in (0, 5)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_what_is_added_to_a_prototype_is_taken_out_by_the_centre():
    """The centre of steady logits goes to their mean, and a prototype's own level with it."""
    student, teacher = waves((8, 12), 0, 3), waves((4, 12), 1, 3)
    level = waves((12,), 2, 7)
    losses = []
    for logits in (teacher, teacher + level):
        method = told(student, logits, 4, centre_momentum=0.0)
        losses.append(epochs(method, batch_of(4)))
    assert losses[0][0] != pytest.approx(losses[1][0], rel=1e-3)
    assert losses[0][1:] == pytest.approx(losses[1][1:], rel=1e-12)


def test_the_order_of_samples_does_not_matter():
    student, teacher = waves((3, 5, 12), 0, 3), waves((3, 2, 12), 1, 3).softmax(2)
    order = [2, 0, 1]
    torch.testing.assert_close(
        cross_view_entropy(student[order], teacher[order]), cross_view_entropy(student, teacher)
    )


def test_the_head_is_golden():
    head = DINOHead(6, 5, hidden=8, bottleneck=4, norm_last_layer=True).double()
    for start, parameter in enumerate(head.mlp.parameters(), 1):
        parameter.data = waves(tuple(parameter.shape), start, 0.5)
    head.last_layer.weight_v.data = waves((5, 4), 8, 0.5)
    found = head(waves((3, 6), 0)).flatten()
    numbers = [found[0], found[-1], found.sum(), found.abs().sum()]
    expected = [0.3097637755, 0.3265130144, 0.9546678113, 6.4768274788]
    assert [number.item() for number in numbers] == pytest.approx(expected, rel=1e-8)
    assert head.embed(waves((3, 6), 0)).norm(dim=1).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(("fixed", "trained"), [(True, 22_286_592), (False, 22_352_128)])
def test_the_head_has_the_size_of_the_authors(fixed, trained):
    with torch.device("meta"):
        head = DINOHead(384, 65536, 2048, 256, norm_last_layer=fixed)
    sizes = [(p.numel(), p.requires_grad) for p in head.parameters()]
    assert sum(size for size, _ in sizes) == 22_352_128
    assert sum(size for size, learns in sizes if learns) == trained
    assert {"last_layer.weight_g", "last_layer.weight_v"} <= dict(head.named_parameters()).keys()


def test_weight_normalisation_is_torchs():
    head = DINOHead(6, 5, hidden=8, bottleneck=4, norm_last_layer=False).double()
    head.last_layer.weight_g.data = waves((5, 1), 3)
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5, bias=False).double())
    linear.parametrizations.weight.original0.data = head.last_layer.weight_g.data
    linear.parametrizations.weight.original1.data = head.last_layer.weight_v.data
    torch.testing.assert_close(head.last_layer(waves((3, 4), 0)), linear(waves((3, 4), 0)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (WARMED, [0.04, 0.055, 0.07, 0.07, 0.07]),
        (WARMED | {"warmup_epochs": 1}, [0.04, 0.07, 0.07, 0.07, 0.07]),
        (WARMED | {"warmup_epochs": 0}, [0.07] * 5),
        ({}, [0.04] * 5),
    ],
)
def test_the_temperature_rises_by_epochs(options, expected):
    method, found = tiny(**options), []
    for epoch in range(5):
        for iteration in (3 * epoch, 3 * epoch + 2):
            method.before_step(Pace(iteration, 15, 3))
            found.append(method.monitors()["teacher_temperature"])
    assert found[::2] == pytest.approx(expected) and found[1::2] == found[::2]


def test_momentum_is_that_of_the_iteration():
    """4 iterations of 10 epochs, before the 1st, 20th and last of which so many are done."""
    method, found = tiny(), []
    for iteration in (0, 1, 20, 39):
        method.before_step(Pace(iteration, 40, 4))
        found.append(method.monitors()["momentum"])
    expected = [0.996, 0.9960061653, 0.998, 0.9999938347]
    assert found == pytest.approx(expected, rel=1e-10)


def tiny(backbone: dict | None = None, **options) -> nn.Module:
    torch.manual_seed(0)
    section = {"name": "dino"} | SMALL | options
    backbone = backbone or TINY | {"stem_stride": 1}
    return network(backbone, section, {"name": "linear"}, classes=4)


VIT = {
    "name": "vit",
    "width": 16,
    "depth": 2,
    "heads": 2,
    "hidden": 32,
    "patch_size": 4,
    "resolution": 16,
}


def crops(samples: int = 4, views: int = 2, small: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    made = {"image": torch.randn(samples, views, 3, 16, 16, generator=generator)}
    if small:
        made["small"] = torch.randn(samples, small, 3, 8, 8, generator=generator)
    return made


@pytest.mark.parametrize("backbone", [None, VIT, VIT | {"classifier": "mean"}])
def test_gradients_reach_all_that_learns_and_never_the_teacher(backbone):
    method = tiny(backbone, norm_last_layer=False)
    with torch.no_grad():
        for parameter in method.backbone.parameters():
            if not parameter.any():
                # residual branches that start at zero teach nothing below them
                parameter += 0.5
    method(crops())["loss"].backward()
    for name, parameter in method.named_parameters():
        of_teacher = name.startswith(("teacher.", "head."))
        assert parameter.requires_grad != of_teacher, name
        assert (parameter.grad is None) == of_teacher, name
        if not of_teacher:
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_the_teacher_starts_as_the_student_and_follows_it():
    method = tiny()
    pairs = [
        (method.teacher.backbone, method.backbone),
        (method.teacher.projector, method.projector),
    ]
    for own, followed in pairs:
        for weight, other in zip(own.parameters(), followed.parameters(), strict=True):
            assert torch.equal(weight, other)
    before = method.teacher.projector.mlp[0].weight.clone()
    with torch.no_grad():
        method.projector.mlp[0].weight += 1
    method.before_step(Pace(20, 40, 4))
    method(crops())
    method.after_step(21 / 40)
    torch.testing.assert_close(method.teacher.projector.mlp[0].weight, before + 0.002)


def test_the_teacher_sees_two_views_only():
    method, batch = tiny(), crops(views=3)
    method.eval()
    method(batch)
    seen = method.seen
    batch["image"][:, 2] += 1
    batch["small"] += 1
    method(batch)
    torch.testing.assert_close(method.seen, seen)
    batch["image"][:, 1] += 1
    method(batch)
    assert not torch.allclose(method.seen, seen)


def test_the_teacher_answers_by_its_own_weights():
    method = tiny().eval()
    found = []
    for part in (None, method.backbone, method.projector, method.teacher):
        with torch.no_grad():
            for parameter in part.parameters() if part else ():
                parameter += 0.1 * torch.randn_like(parameter)
        loss = method(crops())["loss"].item()
        found.append((loss, method.seen))
    losses, (first, *students, teacher) = zip(*found, strict=True)
    assert len(set(losses)) == 4
    assert all(torch.equal(seen, first) for seen in students) and not torch.equal(teacher, first)


def test_small_crops_of_the_same_size_are_batched_with_the_others():
    method, batch = tiny(), crops(views=5, small=0)
    whole = method(batch)["loss"]
    split = {"image": batch["image"][:, :2], "small": batch["image"][:, 2:]}
    torch.testing.assert_close(method(split)["loss"], whole)


def test_the_last_layer_rests_in_the_first_epoch():
    method = tiny(freeze_last_layer=1)
    for iteration, moves in ((0, False), (3, False), (4, True)):
        method.before_step(Pace(iteration, 40, 4))
        method(crops())["loss"].backward()
        method.before_update()
        assert (method.projector.last_layer.weight_v.grad is not None) == moves
        assert method.projector.mlp[0].weight.grad is not None
        method.zero_grad()


def test_what_is_kept_is_in_the_state_and_what_is_exported_is_not():
    method = tiny()
    method.before_step(Pace(0, 4, 2))
    method(crops())
    method.after_step(0.25)
    other = tiny(warmup_epochs=0)
    other.load_state_dict(method.state_dict())
    assert other.centre.any() and torch.equal(other.centre, method.centre)
    assert {name.split(".")[0] for name in method.export()} == {"backbone", "head"}


def test_entropy_of_the_mean_answer_tells_when_all_answer_alike():
    student = torch.zeros(8, 12, dtype=torch.float64)
    alike, spread = torch.zeros(4, 12, dtype=torch.float64), torch.zeros(4, 12, dtype=torch.float64)
    alike[:, 0], spread[range(4), range(0, 12, 3)] = 100.0, 100.0
    expected = {"alike": 0.0, "spread": math.log(4), "even": math.log(12)}
    cases = {"alike": alike, "spread": spread, "even": 0 * alike}
    for name, teacher in cases.items():
        # a centre that stays where it is
        method = told(student, teacher, 4, centre_momentum=1.0)
        assert method.monitors()["teacher_entropy"] == pytest.approx(math.log(12))
        # until the mean of the start is forgotten
        epochs(method, batch_of(4), 300)
        assert method.monitors()["teacher_entropy"] == pytest.approx(expected[name], abs=1e-9)


def test_half_precision_answers_as_single():
    method = tiny().eval()
    whole = method(crops())["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        half = method(crops())["loss"]
    assert half.dtype == torch.float32 and half.item() == pytest.approx(whole.item(), rel=0.02)


def test_one_view_is_refused():
    method = network(
        TINY | {"stem_stride": 1},
        {"name": "dino", "views": {"name": "crops", "views": 1}} | SMALL,
        {"name": "linear"},
        classes=4,
    )
    images = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"DINO: one view of each sample.*make 2 or more"):
        method.views({"image": images}, Draws(torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_what_rests_is_not_even_decayed(optimizer):
    """Two steps an epoch, with momentum: what rests in the first moves in the second."""
    found = after_epochs("dino", "projector.last_layer.weight_v", optimizer)
    assert torch.equal(found[1], found[0])
    assert not found[2].allclose(found[1], rtol=1e-5)


def test_lightlys_loss_is_the_same():
    """Both with its float32 temperature: it keeps .04 as a float32, 2e-8 from what is said."""
    loss = pytest.importorskip("lightly.loss")
    for views in (2, 4, 10):
        student, teacher = waves((2 * views, 12), 0, 3), waves((4, 12), 1, 3)
        theirs = loss.DINOLoss(12, 0.04, 0.07, 3, 0.1).double()
        method = told(student, teacher, views, **WARMED)
        for epoch in range(4):
            expected = theirs(list(teacher.chunk(2)), list(student.chunk(views)), epoch=epoch)
            method.before_step(Pace(epoch, 4, 1))
            torch.testing.assert_close(method(batch_of(views))["loss"], expected, rtol=1e-7, atol=0)
            method.after_step(1.0)
            torch.testing.assert_close(method.centre, theirs.center.flatten())


def trained(**options) -> tuple[nn.Module, float, float]:
    """Some steps on views of eight pictures.

    Also the mean entropy of the teacher's answers, and how far apart pictures are embedded.
    """
    method = tiny(hidden=256, bottleneck=16, prototypes=32, momentum=0.95, **options)
    generator = torch.Generator().manual_seed(3)
    pictures = torch.randn(8, 3, 2, 2, generator=generator)
    optimizer = torch.optim.AdamW(method.parameters(), 0.003)

    def views(count: int, side: int) -> Tensor:
        plain = F.interpolate(pictures, (side, side), mode="bilinear")[:, None]
        return plain + 0.1 * torch.randn(8, count, 3, side, side, generator=generator)

    for iteration in range(40):
        batch = {"image": views(2, 16), "small": views(2, 8)}
        method.before_step(Pace(iteration, 40, 5))
        found = method(batch)
        found["loss"].backward()
        method.before_update()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step((iteration + 1) / 40)
    with torch.no_grad():
        spread = method.embedded(batch["image"][:, 0]).std(0).mean().item()
    return method, found["entropy"].item(), spread


def test_with_centring_and_sharpness_pictures_keep_apart():
    method, entropy, spread = trained()
    assert method.monitors()["teacher_entropy"] > 0.6 * math.log(32)
    assert entropy < 0.7 * math.log(32)
    # of 16 numbers of a vector of length one it is a quarter at the most
    assert spread > 0.1


def test_without_centring_all_are_told_to_be_one_prototype():
    method, entropy, spread = trained(centre_momentum=1.0)
    assert method.monitors()["teacher_entropy"] < 0.2 * math.log(32)
    assert entropy < 0.1 * math.log(32) and spread < 0.1


def test_without_sharpness_all_prototypes_are_told_alike():
    method, entropy, spread = trained(teacher_temperature=1.0, warmup_temperature=1.0)
    assert method.monitors()["teacher_entropy"] > 0.99 * math.log(32)
    assert entropy > 0.99 * math.log(32) and spread < 0.05
