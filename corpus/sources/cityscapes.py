"""Cityscapes' folders: images with a PNG of instance ids each (Cordts et al. 2016, 1604.01685).

A source is a folder with leftImg8bit/<split>/<city>/<name>_leftImg8bit.png (or `--images`) and
gtFine/<split>/<city>/<name>_gtFine_instanceIds.png, grey of 16 bits. A pixel's id is its class, or
1000 times its class plus the number of the instance; of a class with instances the class alone is a
group, which nobody told apart, and becomes a crowd (cityscapesScripts, json2instanceImg and
createPanopticImgs). Classes that evaluation ignores, caravan and trailer among them, have no
segment: their pixels are of none, as void has it in a panoptic map.

Of the kind panoptic all 19 classes that count are read, of the kind boxes the 8 with instances,
with masks of what is seen of them; ids of segments and objects are those of the pixels. Where there
is a ..._labelIds.png, its classes must be those of the instance ids; of ..._polygons.json and
colours nothing is read. An image of which no pixel counts, as all of Cityscapes' test split are,
is left alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from corpus.media.images import MAX_PIXELS
from corpus.records.checking import checked_thing
from corpus.records.objects import Thing
from corpus.sources.folders import below
from corpus.sources.headers import upright_size
from corpus.sources.panopticpng import SIGNATURE, segment_runs
from corpus.sources.places import Folder, images_of
from corpus.sources.rows import Refused, SourceRow, described_row, refused_row
from corpus.sources.splits import split_within

IMAGE, IDS, LABELS = "_leftImg8bit.png", "_gtFine_instanceIds.png", "_gtFine_labelIds.png"
FIRST = 1000  # ids from here on are of instances
PLATE = (1 << 16) - 1  # -1, the id of license plate, which is not drawn, in 16 bits
UNUSED = "pixels of a class that evaluation ignores taken as void: image"
ALONE = "image without a PNG in gtFine/"
EMPTY = "image of which no pixel is of a class that counts, as of Cityscapes' test split"


class Label(NamedTuple):
    """A class: whether it has instances, and whether evaluation ignores it."""

    id: int
    name: str
    category: str
    instances: bool
    ignored: bool


def _labels(category: str, instances: bool, ignored: bool, *names: str) -> list[Label]:
    return [Label(0, name, category, instances, ignored) for name in names]


# in the order of their ids, from 0 on
_TABLE = (
    _labels("void", False, True, "unlabeled", "ego vehicle", "rectification border")
    + _labels("void", False, True, "out of roi", "static", "dynamic", "ground")
    + _labels("flat", False, False, "road", "sidewalk")
    + _labels("flat", False, True, "parking", "rail track")
    + _labels("construction", False, False, "building", "wall", "fence")
    + _labels("construction", False, True, "guard rail", "bridge", "tunnel")
    + _labels("object", False, False, "pole")
    + _labels("object", False, True, "polegroup")
    + _labels("object", False, False, "traffic light", "traffic sign")
    + _labels("nature", False, False, "vegetation", "terrain")
    + _labels("sky", False, False, "sky")
    + _labels("human", True, False, "person", "rider")
    + _labels("vehicle", True, False, "car", "truck", "bus")
    + _labels("vehicle", True, True, "caravan", "trailer")
    + _labels("vehicle", True, False, "train", "motorcycle", "bicycle")
)
LABELS_BY_ID = {number: one._replace(id=number) for number, one in enumerate(_TABLE)}
LABELS_BY_ID[-1] = Label(-1, "license plate", "vehicle", False, True)


class CityscapesReader:
    """The rows of one folder."""

    def __init__(
        self,
        root: Path,
        images: str | None,
        kind: str,
        left: Counter[str],
        about: dict[str, Any],
        read: Callable[[str], bytes],
    ):
        """`about["categories"]` takes the classes that count; `read`: as of `fetch`."""
        self.kind, self.left, self.read = kind, left, read
        base = images or str(root / "leftImg8bit")
        self.images = images_of(base, f"{base}/table")
        self.root, self.maps = root / "gtFine", images_of(str(root / "gtFine"), f"{root}/gtFine/t")
        categories = about.setdefault("categories", [])
        for one in LABELS_BY_ID.values():
            if not one.ignored and (one.instances or kind == "panoptic"):
                found = {"id": one.id, "name": one.name, "supercategory": one.category}
                thing = {"isthing": int(one.instances)} if kind == "panoptic" else {}
                categories.append(found | thing)

    def rows(self) -> Iterator[SourceRow]:
        """Images with their objects or segments, and what is refused."""
        files = {*below(self.root, self.left)}
        stems = {name.removesuffix(IDS) for name in files if name.endswith(IDS)}
        if isinstance(self.images, Folder):
            there = [name for name in below(Path(self.images.root), Counter()) if IMAGE in name]
            alone = sum(name.removesuffix(IMAGE) not in stems for name in there)
            self.left += Counter({ALONE: alone} if alone else {})
        for stem in sorted(stems | {n.removesuffix(LABELS) for n in files if n.endswith(LABELS)}):
            if stem not in stems:
                fix = "make it of the polygons with cityscapesScripts (json2instanceImg)"
                yield refused_row(f"{stem}{LABELS}", f"no PNG of instance ids: {fix}", stem + IMAGE)
                continue
            try:
                yield from self._image(stem, f"{stem}{LABELS}" in files)
            except ValueError as error:
                yield refused_row(f"{stem}{IDS}", str(error), stem + IMAGE)

    def _image(self, stem: str, labelled: bool) -> Iterator[SourceRow]:
        inside, locator = self.images.place(stem + IMAGE)
        ids = self._ids(stem + IDS)
        width, height = upright_size(self.read(locator))
        if ids.shape != (height, width):
            size = f"{ids.shape[1]} x {ids.shape[0]}"
            raise Refused(f"instance ids of another size: {size}, the image {width} x {height}")
        if labelled:
            _check_labels(ids, self._ids(stem + LABELS))
        runs = segment_runs(np.where(ids == PLATE, 0, ids))
        labels = {number: _label(number) for number in runs}
        if all(label.ignored for label in labels.values()):
            self.left[EMPTY] += 1
            return
        if any(label.ignored for label in labels.values()):
            self.left[UNUSED] += 1
        things = []
        for number, label in labels.items():
            if not label.ignored and (label.instances or self.kind == "panoptic"):
                things.append(_thing(number, label, runs[number], width, height))
        raw = {"width": width, "height": height, "objects": things}
        split = split_within(stem.split("/")[:-1])
        yield described_row(f"{stem}{IDS}", locator, raw, self.kind, inside, split)

    def _ids(self, name: str) -> np.ndarray:
        """int32 (height, width) of a PNG in gtFine/."""
        try:
            data = self.read(self.maps.place(name)[1])
        except Refused as error:
            raise Refused(f"{name}: {error}") from None
        return grey_ids(data)


def _label(number: int) -> Label:
    """The class of an id of instances; Refused for one that there is not."""
    label = LABELS_BY_ID.get(number // FIRST if number >= FIRST else number)
    if label is None:
        raise Refused(f"instance id of no class of Cityscapes: {number}")
    if number >= FIRST and not label.instances:
        raise Refused(f"instance of a class that has none ({label.name}): {number}")
    return label


def _thing(number: int, label: Label, counts: list[int], width: int, height: int) -> Thing:
    crowd = label.instances and number < FIRST
    said = {"id": number, "label": label.name, "category": label.id, "crowd": crowd}
    said |= {"thing": label.instances, "rle": {"size": [height, width], "counts": counts}}
    one = checked_thing(said, width, height)
    return one.model_copy(update={"rle": one.rle.as_text()})


def _check_labels(ids: np.ndarray, labels: np.ndarray) -> None:
    """Refused where the PNG of classes is of another image, or says other classes."""
    classes = np.where(ids >= FIRST, ids // FIRST, ids)
    if labels.shape != ids.shape:
        raise Refused(f"PNG of classes of another size: {labels.shape[1]} x {labels.shape[0]}")
    other = int(((classes != labels) & (ids != PLATE)).sum())
    if other:
        raise Refused(f"instance ids and classes (labelIds) that differ in {other:,} px")


def grey_ids(data: bytes) -> np.ndarray:
    """int32 (height, width) of a PNG; Refused for one that is not grey, of 8 or 16 bits."""
    if data[:8] != SIGNATURE or len(data) < 33:
        raise Refused("PNG of ids that is no PNG")
    width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
    if data[25] != 0 or data[24] not in (8, 16):
        raise Refused("PNG of ids that is not grey of 8 or 16 bits")
    if not 0 < width * height <= MAX_PIXELS:
        raise Refused(f"PNG of ids of too many pixels: {width} x {height}")
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image).astype(np.int32)
    except Exception as error:  # Pillow's decoders raise a dozen kinds
        raise Refused(f"PNG of ids that is damaged: {str(error)[:80]}") from None
