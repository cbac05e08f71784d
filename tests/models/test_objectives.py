"""Every objective: views, a loss that learns, weights to export; smoothing.

And the loss of hashtags to the digit.
"""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.core.build import build
from engine.core.network import network
from models.blocks.augment.draws import Draws
from tests.support.networks import TINY
from tests.support.scenes import other

TARGETS = {
    "hashtags": F.one_hot(torch.arange(16) % 4, 4).float()
    + F.one_hot(torch.zeros(16, dtype=int), 4),
    "supervised": torch.arange(16) % 4,
}
TARGETS["hashtags"].clamp_(max=1)
TARGETS["multilabel"] = TARGETS["hashtags"]
COLUMN = {"hashtags": "hashtags", "supervised": "label", "multilabel": "tags"}
# look at no targets; see test_pretext.py
PRETEXTS = sorted(set(other("objectives")) - set(TARGETS))


# what has no default, or is too large for a test
OPTIONS = {"weighted": {"first": {"name": "rotation"}, "second": {"name": "simclr"}}}
OPTIONS["barlow_twins"] = {"hidden": 8, "width": 8}


def objective(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    options = OPTIONS.get(name, {}) | options
    return network(
        TINY | {"stem_stride": 1}, {"name": name, **options}, {"name": "linear"}, classes=4
    )


def photos(n: int = 16, h: int = 32, w: int = 32) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def draws(seed: int = 0, **part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), **part)


AUGMENTATIONS = [
    {},
    {"randaugment": (2, 9), "lighting": 0.1},
    {"mixup": 0.2},
    {"cutmix": 1},
    {"mixup": 1, "cutmix": 1},
]


@pytest.mark.parametrize(
    ("name", "augmentations"), [*product(TARGETS, AUGMENTATIONS), *product(PRETEXTS, [{}])], ids=str
)
def test_views_are_those_of_their_draws_whoever_holds_the_images(name, augmentations):
    method, batch = (
        objective(name, **augmentations),
        {"image": photos(), COLUMN.get(name, "label"): TARGETS.get(name, torch.zeros(16))},
    )
    whole, again, other = (method.views(batch, draws(seed)) for seed in (0, 0, 1))
    assert whole["image"].dtype == torch.float32 and {len(values) for values in whole.values()} == {
        16
    }
    if name in TARGETS:
        assert whole["image"].shape == (16, 3, 32, 32)
        assert whole["image"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole["image"], again["image"]) and not torch.equal(
        whole["image"], other["image"]
    )
    for first, n in ((0, 6), (6, 10), (16, 0)):  # even parts, so that no pair is cut
        part = {key: values[first : first + n] for key, values in batch.items()}
        part = method.views(part, draws(first=first, total=16))
        for key, values in part.items():
            torch.testing.assert_close(values, whole[key][first : first + n])


@pytest.mark.parametrize("augmentations", AUGMENTATIONS[2:], ids="+".join)
@pytest.mark.parametrize("name", TARGETS)
def test_the_mean_loss_of_equal_parts_is_that_of_the_whole(name, augmentations):
    method = objective(name, label_smoothing=0.1, **augmentations).eval()
    batch = method.views({"image": photos(), COLUMN[name]: TARGETS[name]}, draws())
    parts = []
    for first in range(0, 16, 4):
        parts.append({key: values[first : first + 4] for key, values in batch.items()})
    mean = torch.stack([method(part)["loss"] for part in parts]).mean()
    torch.testing.assert_close(mean, method(batch)["loss"])


@pytest.mark.parametrize("name", TARGETS)
def test_mixed_targets_weigh_the_losses_of_both(name):
    method = objective(name, mixup=1, label_smoothing=0.1).eval()
    batch = method.views({"image": photos(), COLUMN[name]: TARGETS[name]}, draws())
    swapped = TARGETS[name].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    own, partner = (
        method({"image": batch["image"], COLUMN[name]: t})["loss"] for t in (TARGETS[name], swapped)
    )
    one = draws()
    one.rand(16, 5), one.once(3)  # what the crops and the mixing drew before
    share = one.beta(1)
    torch.testing.assert_close(method(batch)["loss"], share * own + (1 - share) * partner)


KNOWN = torch.arange(16) % 3 != 1


def with_unknown(name: str, **others) -> dict[str, torch.Tensor]:
    """A batch of which some targets are not known: zeros stand there, as in mixed data sets."""
    targets = TARGETS[name].clone()
    targets[~KNOWN] = 0
    return {"image": photos(), COLUMN[name]: targets, f"{COLUMN[name]}_known": KNOWN} | others


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_that_is_not_known_teaches_nothing(name, smoothing):
    """The loss is a third less than, and its gradient that of, the samples that are known."""
    method = objective(name, label_smoothing=smoothing).eval()
    view = method.views(with_unknown(name), draws())
    view["image"].requires_grad_()
    loss = method(view)["loss"]
    loss.backward()
    rows = view["image"].grad.flatten(1).abs().sum(1)
    assert torch.equal(rows > 0, KNOWN)
    alone = method.views({"image": photos(), COLUMN[name]: TARGETS[name]}, draws())
    of_known = method({key: column[KNOWN] for key, column in alone.items()})["loss"]
    torch.testing.assert_close(loss, of_known * KNOWN.sum() / 16)


@pytest.mark.parametrize("name", TARGETS)
def test_of_two_that_are_mixed_what_is_known_teaches(name):
    method = objective(name, mixup=1, label_smoothing=0.1).eval()
    view = method.views(with_unknown(name), draws())
    column = COLUMN[name]
    share = view[f"{column}_known"]
    assert ((share > 0) & (share < 1)).any() and (share == 1).any()
    partners = KNOWN.unflatten(0, (-1, 2)).flip(1).flatten()
    assert (share[KNOWN & partners] == 1).all() and (share[~KNOWN & ~partners] == 0).all()
    # as the losses of both, each where it is known
    swapped = TARGETS[name].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    one = draws()
    one.rand(16, 5), one.once(3)  # what the crops and the mixing drew before
    own = one.beta(1)
    expected = 0
    for weight, targets, known in ((own, TARGETS[name], KNOWN), (1 - own, swapped, partners)):
        part = {"image": view["image"][known], column: targets[known]}
        expected += weight * method(part)["loss"] * known.sum() / 16
    torch.testing.assert_close(method(view)["loss"], expected)


@pytest.mark.parametrize("name", TARGETS)
def test_where_all_targets_are_known_nothing_changes(name):
    method = objective(name, label_smoothing=0.1, cutmix=1).eval()
    batch = {"image": photos(), COLUMN[name]: TARGETS[name]}
    every = {f"{COLUMN[name]}_known": torch.ones(16, dtype=torch.bool)}
    losses = [method(method.views(one, draws()))["loss"] for one in (batch, batch | every)]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    "options", [{"mixup": -1}, {"cutmix": -0.2}, {"label_smoothing": 1}, {"randaugment": (2, 31)}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}.*"):
        objective("supervised", **options)


@pytest.mark.parametrize("name", TARGETS)
def test_contract(name):
    method = objective(name)
    inputs = method.views({"image": photos(), COLUMN[name]: TARGETS[name]}, draws())["image"]
    inputs[:, 0] += TARGETS["supervised"].view(16, 1, 1)  # something to learn
    optimizer, losses = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9), []
    for _ in range(12):
        loss = method({"image": inputs, COLUMN[name]: TARGETS[name]})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(0.5)
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert method.logits(method.plain(photos())).shape == (16, 4)


@pytest.mark.parametrize("name", other("objectives"))
def test_exported_backbone_fits_another_objective(name):
    weights = objective(name).export()
    assert {key.split(".")[0] for key in weights} == {"backbone", "head"}
    fresh = objective("supervised").backbone
    fresh.load_state_dict(
        {k.removeprefix("backbone."): v for k, v in weights.items() if k.startswith("backbone.")}
    )


class Fixed(nn.Module):
    """A backbone that returns what it is given."""

    def forward(self, inputs):
        return inputs


class Pass(Fixed):
    """A head whose logits are its features."""

    @staticmethod
    def loss(predictions, targets):
        return {"loss": F.cross_entropy(predictions, targets)}


def hashtag_loss(logits: torch.Tensor, tags: torch.Tensor, **options) -> float:
    method = build("objectives", {"name": "hashtags", **options}, backbone=Fixed(), head=Pass())
    return method({"image": logits, "hashtags": tags})["loss"].item()


GOLDEN = 3 * torch.sin(0.37 * torch.arange(18, dtype=torch.float64)).view(3, 6)
TAGS = torch.tensor(
    [[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1]], dtype=torch.float64
)


def test_hashtag_loss_is_golden():
    assert hashtag_loss(GOLDEN, TAGS) == pytest.approx(2.3162061331, abs=1e-10)


def test_one_hashtag_is_plain_cross_entropy():
    expected = F.cross_entropy(GOLDEN, torch.tensor([5, 0, 2])).item()
    assert hashtag_loss(GOLDEN, F.one_hot(torch.tensor([5, 0, 2]), 6).double()) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_smoothing_is_that_of_cross_entropy(smoothing):
    shares, classes = TAGS / TAGS.sum(1, keepdim=True), torch.tensor([5, 0, 2])
    expected = F.cross_entropy(GOLDEN, shares, label_smoothing=smoothing).item()
    assert hashtag_loss(GOLDEN, TAGS, label_smoothing=smoothing) == pytest.approx(
        expected, abs=1e-10
    )
    head = build("heads", {"name": "linear"}, channels=[8], classes=6)
    head.forward = lambda features: features
    method = build(
        "objectives",
        {"name": "supervised", "label_smoothing": smoothing},
        backbone=Fixed(),
        head=head,
    )
    expected = F.cross_entropy(GOLDEN, classes, label_smoothing=smoothing)
    for targets in (classes, method.shares(classes).double()):
        torch.testing.assert_close(method({"image": GOLDEN, "label": targets})["loss"], expected)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_each_tag_is_a_question_of_its_own(smoothing):
    """The sum over classes of binary cross entropies, of targets that smoothing draws to 0.5."""
    options = {"name": "multilabel", "label_smoothing": smoothing}
    method = build("objectives", options, backbone=Fixed(), head=Pass())
    found = method({"image": GOLDEN, "tags": TAGS})["loss"]
    truth = TAGS * (1 - smoothing) + smoothing / 2
    p = GOLDEN.sigmoid()
    each = -(truth * p.log() + (1 - truth) * (1 - p).log())
    assert found.item() == pytest.approx(each.sum(1).mean().item(), abs=1e-12)


def test_tags_and_their_probabilities_are_told_of_a_network_of_tags():
    method = objective("multilabel").eval()
    view = method.test_views({"image": photos(), "tags": TARGETS["multilabel"]}, draws())
    found = method.predict(view)
    torch.testing.assert_close(found["probabilities"], found["scores"].sigmoid())
    assert torch.equal(view["tags"], TARGETS["multilabel"])


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_image_without_a_hashtag_teaches_nothing(smoothing):
    logits = GOLDEN.clone().requires_grad_()
    options = {"name": "hashtags", "label_smoothing": smoothing}
    method = build("objectives", options, backbone=Fixed(), head=Pass())
    method({"image": logits, "hashtags": TAGS * torch.tensor([[1.0], [0.0], [1.0]])})[
        "loss"
    ].backward()
    assert logits.grad[1].abs().sum() == 0 and logits.grad[0].abs().sum() > 0
