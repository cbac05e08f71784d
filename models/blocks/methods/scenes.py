"""What objectives of detection and segmentation share: views of images with places, and answers.

A head of models/blocks/detection/scene.py says what is learnt and what is found; an objective says
what of a data set is read, and so what a Scene of it holds.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.augment.scenes import SceneViews, padded
from models.blocks.augment.views import normalisation
from models.blocks.detection.pasting import pasted
from models.blocks.detection.scene import UNKNOWN, Found, Scene, SceneHead
from models.blocks.detection.semantics import classes_of
from models.blocks.layers.patches import WHOLE
from models.blocks.methods.method import Method
from models.blocks.options import with_options
from models.blocks.ranges import Part, Pixels, Share, Unique

__all__ = ["Scenes"]

AT_A_TIME = 1 << 21  # px of canvases that go through a network together in a test
Batch = dict[str, Any]
Contents = Sequence[tuple[int, int]]  # height and width of each image in its canvas


class Scenes(Method):
    """An objective but for `reads`, `target`, `needs` and `scene`.

    needs: what of GIVES a head has to find. scenes: images come as lists, as their sides differ.

    shorter: px of the image's shorter side, of which each view gets one at random; none: as the
        data set stores it.
    longer: px that the longer side has at the most, whatever the shorter one is.
    test_shorter: px of the shorter side in a test; null: the largest of `shorter`.
    flip: probability of a horizontal flip.
    crop: least share of the image's height and width that a random crop has; 1: no crops.
    kept: share of an object's box that has to be left of it in a crop, else it is dropped.
    canvas: px of the square that every image is padded to, as large as the largest view; null: what
        the largest image of a batch needs, so that the zeros beside an image differ by its company.
    """

    scenes: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("boxes",)
    inputs: ClassVar[tuple[str, ...]] = ("image", "content", "sampling")
    head: SceneHead

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        shorter: Unique[Pixels] = [],  # noqa: B006 - read only
        longer: Pixels | None = None,
        test_shorter: Pixels | None = None,
        flip: Share = 0.5,
        crop: Part = 1.0,
        kept: Share = 0.3,
        canvas: Pixels | None = None,
    ) -> None:
        super().__init__(backbone, head)
        lacking = [each for each in self.needs if each not in getattr(head, "gives", ())]
        if lacking:
            raise ValueError(
                f"{type(self).__name__.lower()}: the head {type(head).__name__} gives no "
                f"{lacking[0]}: take one that does, or another objective"
            )
        self.step = max(stride for stride in backbone.strides if stride < WHOLE)
        given = shorter, longer, test_shorter, flip, crop, kept, canvas
        self.augment = SceneViews(*given, step=self.step, **normalisation(backbone))
        self.exact_in_parts = head.exact_in_parts

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__signature__ = with_options(cls)

    def scene(self, view: Batch, row: int) -> dict[str, Any]:
        """What of a Scene a row of a view tells: the fields that are not the same for all."""
        raise NotImplementedError

    def views(self, batch: Batch, draws: Draws) -> Batch:
        """The batch with random views in the place of its images, and all that has places in them.

        image float (n, 3, H, W), content int64 (n, 2), sampling int64 (n,); the others are lists.
        """
        return self.augment(batch, draws)

    def forward(self, batch: Batch, phase: str = "") -> dict[str, Tensor]:
        """The losses of the head, means over the images."""
        canvas, contents = tuple(batch["image"].shape[2:]), batch["content"].tolist()
        scenes = []
        for row, (content, seed) in enumerate(
            zip(contents, batch["sampling"].tolist(), strict=True)
        ):
            told = self.scene(batch, row)
            scenes.append(_scene(told, tuple(content), canvas, seed, self.head.classes))
        return self.head.losses(self.backbone(batch["image"]), scenes)

    def test_views(self, batch: Batch, draws: Draws) -> Batch:
        """Each image on a canvas of its own, so that its answers do not depend on its company."""
        images, contents = self.augment.placed(batch["image"])
        return batch | {"image": images, "content": torch.tensor(contents).reshape(-1, 2)}

    def plain(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Images uint8 (h, w, 3) as the network is tested on them, float (3, H, W) each."""
        return self.augment.placed(images)[0]

    def placed(
        self, images: Sequence[Tensor], shorter: int | None = None, mirrored: bool = False
    ) -> tuple[list[Tensor], Contents]:
        """As `SceneViews.placed`: test views of another scale, mirrored or not."""
        return self.augment.placed(images, shorter, mirrored)

    def predict(self, batch: Batch) -> Batch:
        """What is found, in px of the images as they are stored."""
        contents = [tuple(content) for content in batch["content"].tolist()]
        sides = [tuple(each.tolist()) for each in batch["sides"]]
        return self.columns_of(self.scenes_found(batch["image"], contents), contents, sides)

    def scenes_found(self, images: Sequence[Tensor], contents: Contents) -> list[Found]:
        """What the head finds in each image (3, H, W), whose contents have these sides."""
        found: list[Any] = [None] * len(images)
        for rows in _alike(images):
            maps = self.backbone(torch.stack([images[row] for row in rows]))
            answers = self.head.found(maps, [contents[row] for row in rows])
            for row, answer in zip(rows, answers, strict=True):
                found[row] = answer
        return found

    def columns_of(
        self, found: Sequence[Found], contents: Contents, sides: Sequence[tuple[int, int]]
    ) -> Batch:
        """Columns of what was found, in px of images of these sides, width and height.

        boxes float32 (m, 4), box_label, box_score; masks bool (m, h, w); semantic int64 (h, w), 255
        where the head tells no class.
        """
        columns: Batch = defaultdict(list)
        for one, content, (width, height) in zip(found, contents, sides, strict=True):
            if one.boxes is not None:
                factor = one.boxes.new_tensor([width / content[1], height / content[0]] * 2)
                boxes = one.boxes * factor
                columns["boxes"].append(boxes)
                columns["box_label"].append(one.labels)
                columns["box_score"].append(one.scores)
            if one.masks is not None:
                columns["masks"].append(pasted(one.masks, boxes, (height, width)))
            if one.semantic is not None:
                stride = self.head.semantic_stride
                canvas = tuple(side * stride for side in one.semantic.shape[1:])
                places = canvas, tuple(content), (height, width)
                columns["semantic"].append(classes_of(one.semantic, self.head.classes, *places))
        return dict(columns)

    def features(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """The mean of the backbone's last map (n, d) of normalised images (3, H, W) each."""
        found: list[Any] = [None] * len(images)
        for rows in _alike(images):
            pooled = self.head.pool(self.backbone(torch.stack([images[row] for row in rows])))
            for row, one in zip(rows, pooled, strict=True):
                found[row] = one
        return torch.stack(found)

    def input_shape(self, size: int) -> tuple[int, ...]:
        """A square canvas: that of the training, or what an image of `size` px needs."""
        return (3, *self.augment.canvas_of([(self.augment.canvas or size,) * 2]))

    def after_step(self, progress: float) -> None:
        self.head.after_step()


def _scene(
    told: dict[str, Any], content: tuple[int, int], canvas: tuple[int, int], seed: int, classes: int
) -> Scene:
    """A Scene of what an objective tells, without objects that have no area."""
    where = next(iter(told.values())).device
    none = {
        "boxes": torch.zeros(0, 4, device=where),
        "labels": torch.zeros(0, dtype=torch.int64, device=where),
        "unjudged": torch.zeros(classes, dtype=torch.bool, device=where),
    }
    own = none | told
    boxes, masks, semantic = own["boxes"], own.get("masks"), own.get("semantic")
    empty = torch.zeros(len(boxes), dtype=torch.bool, device=where)
    known = own.get("masks_known", empty if masks is None else ~empty)
    good = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return Scene(
        content=content,
        boxes=boxes[good].float(),
        labels=own["labels"][good],
        ignore=own.get("ignore", empty)[good],
        masks=None if masks is None else padded(masks[good], canvas),
        masks_known=known[good],
        semantic=None if semantic is None else padded(semantic, canvas, UNKNOWN),
        unjudged=own["unjudged"],
        seed=seed,
    )


def _alike(images: Sequence[Tensor]) -> list[list[int]]:
    """Rows of images of the same sides, so many together as a network takes at a time."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, image in enumerate(images):
        groups[tuple(image.shape[1:])].append(row)
    found = []
    for (height, width), rows in groups.items():
        most = max(1, AT_A_TIME // (height * width))
        found += [rows[first : first + most] for first in range(0, len(rows), most)]
    return found
