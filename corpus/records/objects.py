"""Annotated objects and segments of an image, as the kinds boxes and panoptic store them.

Coordinates are COCO's: pixels of the upright original image, x to the right and y down, (0, 0) the
corner of the first pixel. A box is x, y, width, height, so that the box of pixel 0 alone is
[0, 0, 1, 1]. Run lengths count pixels column by column, the first run is of background
(pycocotools, common/maskApi.c); `counts` are compressed as pycocotools writes them.
"""

from pydantic import BaseModel, ConfigDict, Field

from corpus.records.record import Record, Split


class Rle(BaseModel):
    """A mask of (height, width) pixels as run lengths.

    plain: the source had them as a list of numbers, and so has its export.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    size: tuple[int, int]
    counts: str
    plain: bool = False

    def as_text(self) -> "Rle":
        """The same of a source that had other run lengths than COCO's."""
        return self.model_copy(update={"plain": False})


class Thing(BaseModel):
    """An annotated object, or a segment of a panoptic map.

    id: of the annotation (of a segment: its number in the map), once in an image. label: the name
    of its class. box: x, y, width, height. area: px of the mask, or what the source says. category:
    the class's number in the source. polygons: x, y, x, y, ... of each part. keypoints: x, y,
    visibility (0 not labelled, 1 hidden, 2 seen) of each. thing: of a panoptic segment, whether it
    is one countable thing, or stuff. difficult, truncated: as Pascal VOC says them.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: int
    label: str
    box: tuple[float, float, float, float]
    area: float
    crowd: bool = False
    category: int | None = None
    polygons: list[list[float]] | None = None
    rle: Rle | None = None
    keypoints: list[float] | None = None
    thing: bool = True
    difficult: bool = False
    truncated: bool = False


class Scene(Record):
    """An image with its objects or segments, or none.

    absent: classes that were looked for and are not there. partial: classes of which not every
    object is annotated (both LVIS). number: the image's id in the source. file: its file name
    there, where that is not `id`.
    """

    width: int
    height: int
    objects: list[Thing]
    split: Split = "train"
    absent: list[str] = Field(default_factory=list)
    partial: list[str] = Field(default_factory=list)
    number: int | None = None
    file: str | None = None
