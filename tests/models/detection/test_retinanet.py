"""RetinaNet: torchvision's with copied weights, losses by other code, what is not learnt from."""

import pytest
import torch
from torchvision.models.detection import retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2
from torchvision.ops import sigmoid_focal_loss

from engine.core.build import build
from models.blocks.detection.matching import NEITHER
from models.blocks.detection.scene import Scene
from models.blocks.detection.suppression import solid
from models.heads import retinanet
from models.heads.retinanet import RetinaNet

V1 = {"extra": "convs_p5", "rounding": "torchvision", "normaliser": "image"}
V2 = V1 | {"extra": "convs_c5", "tower_norm": "group", "box_loss": "giou"}
TINY = {"width": 8, "convs": 1, "channels": [4, 8, 16], "strides": [4, 8, 16], "classes": 5}


def tiny(**options):
    torch.manual_seed(0)
    return RetinaNet(**TINY | options)


def maps(images, side=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(images, c, side // s, side // s) for c, s in [(4, 4), (8, 8), (16, 16)]]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def scene(boxes, labels, classes=5, ignore=None, unjudged=(), content=(64, 64)):
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    told = torch.zeros(classes, dtype=torch.bool)
    told[list(unjudged)] = True
    ignored = torch.tensor(ignore or [False] * len(boxes), dtype=torch.bool)
    known = torch.zeros(len(boxes), dtype=torch.bool)
    labels = torch.tensor(labels, dtype=torch.int64)
    return Scene(content, boxes, labels, ignored, None, known, None, told, seed=0)


SCENES = [
    scene([[4, 4, 40, 36], [30, 20, 60, 60]], [0, 3]),
    scene([[10, 10, 20, 22]], [4]),
    scene([], []),
]


def renamed(theirs):
    """torchvision's weights of pyramid and towers by the names that they have here."""
    found = {}
    for name, tensor in theirs.state_dict().items():
        name = name.replace("backbone.fpn", "pyramid.fpn")
        for tower, last, ours in [
            ("head.classification_head.", "cls_logits", "class_tower"),
            ("head.regression_head.", "bbox_reg", "box_tower"),
        ]:
            name = name.replace(f"{tower}conv", ours).replace(tower + last, f"{ours}.4")
        if name.startswith(("pyramid", "class_tower", "box_tower")):
            found[name] = tensor
    return found


@pytest.mark.parametrize(
    ("make", "options"), [(retinanet_resnet50_fpn, V1), (retinanet_resnet50_fpn_v2, V2)]
)
def test_it_is_torchvisions_with_its_weights(make, options):
    torch.manual_seed(0)
    theirs = make(
        weights=None, weights_backbone=None, num_classes=6, detections_per_img=1000, min_size=128
    )
    for last in (theirs.head.classification_head.cls_logits, theirs.head.regression_head.bbox_reg):
        # as of a trained network: scores and boxes that differ
        torch.nn.init.normal_(last.weight, std=0.1 if "tower_norm" not in options else 0.05)
    ours = RetinaNet([512, 1024, 2048], [8, 16, 32], 6, lowest=0, **options)
    ours.load_state_dict(renamed(theirs))
    shapes = [(3, 128, 160), (3, 144, 128)]
    pictures = [
        torch.sin(0.37 * torch.arange(3.0 * h * w)).view(3, h, w).abs() for _, h, w in shapes
    ]
    theirs.eval()
    with torch.no_grad():
        padded, _ = theirs.transform(pictures)
        expected = theirs(pictures)
        seen = list(theirs.backbone.body(padded.tensors).values())
        found = ours.found(seen, [(h, w) for _, h, w in shapes])
    for mine, other in zip(found, expected, strict=True):
        assert len(mine.scores) == 100 and mine.scores.std() > 0.01
        # torchvision keeps boxes that have nothing of the image
        whole = solid(other["boxes"]).nonzero()[:100, 0]
        torch.testing.assert_close(mine.scores, other["scores"][whole], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(mine.boxes, other["boxes"][whole], atol=1e-4, rtol=1e-4)
        assert torch.equal(mine.labels, other["labels"][whole])
    scenes = [
        scene([[10, 12, 60, 90], [50, 40, 150, 100]], [1, 5], 6),
        scene([[20, 30, 100, 90]], [0], 6),
    ]
    theirs.train()
    theirs.backbone.body.eval()
    losses = theirs(pictures, [{"boxes": s.boxes, "labels": s.labels} for s in scenes])
    mine = ours.losses(seen, scenes)
    torch.testing.assert_close(mine["classes"], losses["classification"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(mine["boxes"], losses["bbox_regression"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(mine["loss"], mine["classes"] + mine["boxes"])


def numbers(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_numbers_of_parameters():
    with torch.device("meta"):
        head = RetinaNet([256, 512, 1024, 2048], [4, 8, 16, 32], 91, extra="convs_p5")
        trunk = build("backbones", {"name": "resnet"})
    count = {name: numbers(part) for name, part in head.named_children()}
    assert count["class_tower"] == 4_248_115 and count["box_tower"] == 2_443_300
    assert numbers(head) + numbers(trunk) == 34_068_119


def test_it_starts_with_the_prior_and_small_weights():
    head = RetinaNet([64], [8], 10, 64, lowest=0, prior=0.02)
    scores = head.class_tower(torch.zeros(1, 64, 2, 2)).sigmoid()
    torch.testing.assert_close(scores, torch.full_like(scores, 0.02))
    for tower in (head.class_tower, head.box_tower):
        assert all(abs(p.std().item() - 0.01) < 2e-3 for p in tower.parameters() if p.ndim > 1)


def by_hand(head, features, scenes):
    """Sums of the focal loss and of L1 distances of each image, and its positives."""
    levels = head.predicted(features)
    logits = torch.cat([x.logits.permute(0, 3, 4, 1, 2).flatten(1, 3) for x in levels], 1)
    deltas = torch.cat([x.deltas.permute(0, 3, 4, 1, 2).flatten(1, 3) for x in levels], 1)
    anchors = torch.cat([x.anchors for x in levels])
    focal, distance, counts = [], [], []
    for image, each in enumerate(scenes):
        matches = head.matching(each.boxes, each.ignore, anchors)
        target, positive = torch.zeros_like(logits[image]), matches >= 0
        target[positive, each.labels[matches[positive]]] = 1
        loss = sigmoid_focal_loss(logits[image], target) * (matches != NEITHER)[:, None]
        focal.append((loss * ~(each.unjudged & (target == 0))).sum())
        goals = head.code.encode(each.boxes[matches[positive]], anchors[positive])
        distance.append((deltas[image][positive] - goals).abs().sum())
        counts.append(int(positive.sum()))
    return torch.stack(focal), torch.stack(distance), torch.tensor(counts)


@pytest.mark.parametrize("normaliser", ["image", "batch", "average"])
def test_losses_are_those_of_other_code_and_each_has_its_divisor(normaliser):
    head, features = tiny(normaliser=normaliser), maps(4)
    crowd = scene([[4, 4, 40, 36], [0, 0, 64, 64]], [0, 3], ignore=[False, True], unjudged=[2])
    scenes = [*SCENES, crowd]
    focal, distance, counts = by_hand(head, features, scenes)
    assert 0 in counts and (counts > 0).sum() == 3
    divisor = counts.clamp(min=1) * 4.0
    if normaliser == "batch":
        divisor = counts.sum().expand(4)
    if normaliser == "average":
        divisor = (0.9 * 100 + 0.1 * counts.sum()).expand(4)
    found = head.losses(features, scenes)
    torch.testing.assert_close(found["classes"], (focal / divisor).sum())
    torch.testing.assert_close(found["boxes"], (distance / divisor).sum())
    torch.testing.assert_close(found["loss"], found["classes"] + found["boxes"])
    assert head.exact_in_parts == (normaliser == "image")


def test_the_average_is_kept_by_a_step_alone_and_with_the_weights():
    head, features = tiny(normaliser="average"), maps(3)
    first = head.losses(features, SCENES)["loss"]
    assert torch.equal(head.losses(features, SCENES)["loss"], first) and head.positives == 100
    count = by_hand(head, features, SCENES)[2].sum()
    head.after_step()
    torch.testing.assert_close(head.positives, 90 + 0.1 * count)
    other = tiny(normaliser="average")
    other.load_state_dict(head.state_dict())
    assert torch.equal(
        other.losses(features, SCENES)["loss"], head.losses(features, SCENES)["loss"]
    )
    without = tiny()
    without.after_step()
    assert "positives" not in without.state_dict()


@pytest.mark.parametrize("normaliser", ["image", "batch", "average"])
def test_two_workers_with_uneven_parts_have_the_loss_of_one(normaliser, monkeypatch):
    head, features = tiny(normaliser=normaliser), maps(3)
    whole = head.losses(features, SCENES)["loss"]
    counts = by_hand(head, features, SCENES)[2].float()
    monkeypatch.setattr(retinanet, "gather", lambda own: counts)
    parts = [slice(0, 1), slice(1, 3)]
    losses = []
    for part in parts:
        own = [each[part] for each in features]
        losses.append(head.losses(own, SCENES[part])["loss"])
    torch.testing.assert_close((losses[0] + 2 * losses[1]) / 3, whole)


def test_what_is_to_be_ignored_and_what_nobody_judged_gives_no_gradient():
    head, features = tiny(), maps(1)
    levels = head.predicted(features)
    for level in levels:
        level.logits.retain_grad()
    head.predicted = lambda _: levels
    everywhere = scene([[0, 0, 64, 64]], [1], ignore=[True], unjudged=[2])
    head.losses(features, [everywhere])["loss"].backward()
    for level in levels:
        x1, y1, x2, y2 = level.anchors.unbind(1)
        inside = (x2.clamp(0, 64) - x1.clamp(0, 64)) * (y2.clamp(0, 64) - y1.clamp(0, 64))
        ignored = inside / ((x2 - x1) * (y2 - y1)) >= 0.5
        gradient = level.logits.grad.permute(0, 3, 4, 1, 2).flatten(1, 3)[0]
        assert torch.equal((gradient == 0).all(1), ignored)
        assert not gradient[:, 2].any() and gradient[~ignored][:, 3].all()


@pytest.mark.parametrize("box_loss", ["smooth_l1", "giou"])
def test_every_parameter_takes_part_and_no_object_or_many_make_no_difference(box_loss):
    many = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * 50
    many = scene(torch.cat((many, many + 10), 1).tolist(), [1] * 1000)
    for scenes in ([SCENES[2]], [many]):
        head = tiny(box_loss=box_loss, norm="group", tower_norm="group")
        loss = head.losses(maps(1), scenes)["loss"]
        loss.backward()
        assert loss.isfinite() and all(p.grad is not None for p in head.parameters())
        assert all(p.grad.isfinite().all() for p in head.parameters())


def test_what_is_found_lies_within_the_image_and_may_be_nothing():
    head = tiny(least_score=0.0, detections=30)
    found = head.found(maps(2), [(64, 64), (40, 50)])
    for each, (height, width) in zip(found, [(64, 64), (40, 50)], strict=True):
        assert each.boxes.shape == (30, 4) and each.scores.shape == each.labels.shape == (30,)
        assert (each.boxes[:, 2:] > each.boxes[:, :2]).all() and (each.boxes >= 0).all()
        assert each.boxes[:, 2].max() <= width and each.boxes[:, 3].max() <= height
        assert (each.scores.diff() <= 0).all() and each.labels.dtype == torch.int64
    nothing = tiny(least_score=0.9)(maps(2))
    assert [each.boxes.shape for each in nothing] == [(0, 4)] * 2
    assert nothing[0].scores.shape == nothing[0].labels.shape == (0,)


def test_equal_scores_are_found_in_the_order_of_the_anchors():
    head = tiny(candidates=7, overlap=1.0, lowest=2, extra="none", least_score=0.0, scales=1)
    torch.nn.init.zeros_(head.class_tower[-1].weight)
    torch.nn.init.zeros_(head.box_tower[-1].weight)
    found = head.found(maps(1), [(64, 64)])[0]
    # of the first anchor all five classes, of the second the first two
    assert found.labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert len(found.boxes.unique(dim=0)) == 2
    anchors = head.predicted(maps(1))[0].anchors[:2].clamp(0, 64)
    torch.testing.assert_close(found.boxes[[0, 5]], anchors)


def test_half_precision_and_learning():
    """What is drawn is found: a rectangle of either class, after a few steps."""
    torch.manual_seed(0)
    head = RetinaNet([8, 16], [8, 16], 2, 16, 0, "none", convs=1, prior=0.1)
    stem = torch.nn.Conv2d(3, 8, 8, 8)
    trunk = torch.nn.Conv2d(8, 16, 3, 2, 1)
    images = torch.zeros(2, 3, 64, 64)
    images[0, 0, 8:40, 8:40], images[1, 1, 24:56, 16:48] = 3, 3
    scenes = [scene([[8, 8, 40, 40]], [0], 2), scene([[16, 24, 48, 56]], [1], 2)]
    parts = torch.nn.ModuleList([head, stem, trunk])
    optimizer = torch.optim.AdamW(parts.parameters(), 1e-2)

    def seen():
        first = stem(images).relu()
        return [first, trunk(first).relu()]

    for _ in range(80):
        with torch.autocast("cpu", torch.bfloat16):
            loss = head.losses(seen(), scenes)["loss"]
        assert loss.dtype == torch.float32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = head.found(seen(), [(64, 64)] * 2)
    for each, truth in zip(found, scenes, strict=True):
        assert each.labels[0] == truth.labels[0] and each.scores[0] > 0.5
        torch.testing.assert_close(each.boxes[:1], truth.boxes, atol=4, rtol=0)
