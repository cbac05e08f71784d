"""Panoptic maps as COCO has them: a JSON of segments, and a PNG of their ids for each image.

The PNGs lie in a folder beside the JSON that is named as it is (panoptic_val2017/), RGB of 8 bits:
id = R + 256 G + 65536 B, 0 where no segment is (cocodataset/panopticapi utils.py, rgb2id). A map is
true as a whole or not at all: a fault of one segment refuses its image.
"""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from corpus.media.images import MAX_PIXELS
from corpus.records.checking import checked_thing
from corpus.records.objects import Thing
from corpus.sources.cocojson import AnnotationFile, CocoReader, category_in
from corpus.sources.places import images_of
from corpus.sources.rows import Refused
from corpus.sources.streaming import parsed

LARGEST = (1 << 24) - 1  # id that three bytes hold
COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGBA"}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PanopticReader(CocoReader):
    """The rows of one JSON with its PNGs."""

    kind = "panoptic"

    def __init__(self, file: AnnotationFile, about: dict[str, Any], read: Callable[[str], bytes]):
        """ValueError where there is no folder of PNGs."""
        super().__init__(file, about, read)
        folder = file.maps
        try:
            self.maps = images_of(folder, folder + "/")
        except ValueError:
            raise ValueError(
                f"the folder of PNGs {folder} is not found: it lies beside {file.name} and has its "
                "name without .json; unpack it there"
            ) from None

    def objects(
        self, number: int, width: int, height: int
    ) -> tuple[list[Thing], list[tuple[str, str]]]:
        """The segments of an image; ValueError for the first fault of any."""
        places = self.found.of(number)
        if len(places) != 1:
            raise Refused(f"no single panoptic annotation of the image: it has {len(places)}")
        entry = parsed(self.found.entry(places[0]))
        name, segments = entry.get("file_name"), entry.get("segments_info")
        if not isinstance(name, str) or not isinstance(segments, list):
            raise Refused("panoptic annotation without file_name or segments_info")
        try:
            data = self.read(self.maps.place(name)[1])
        except Refused as error:
            raise Refused(f"panoptic PNG {name}: {error}") from None
        ids = segment_ids(data)
        if ids.shape != (height, width):
            size = f"{ids.shape[1]} x {ids.shape[0]}"
            raise Refused(f"panoptic PNG of another size: {size}, the image {width} x {height}")
        runs = segment_runs(ids)
        return self._segments(segments, runs, width, height), []

    def _segments(
        self, segments: list[Any], runs: dict[int, list[int]], width: int, height: int
    ) -> list[Thing]:
        things: dict[int, Thing] = {}
        for said in segments:
            number = _segment_id(said)
            if number in things:
                raise Refused(f"two segments of one id: {number}")
            if number not in runs:
                raise Refused(f"segment in the JSON and not in the PNG: {number}")
            category = category_in(self.categories, said)
            fields = {"id": number, "label": category.label, "thing": category.thing}
            fields |= {"category": said["category_id"], "crowd": said.get("iscrowd", 0) == 1}
            fields |= {"box": said.get("bbox"), "area": said.get("area")}
            fields["rle"] = {"size": [height, width], "counts": runs[number]}
            pixels = sum(runs[number][1::2])
            things[number] = one = checked_thing(fields, width, height)
            if one.area != pixels:
                told = f"segment {number} says {one.area:g}, and has {pixels:,}"
                raise Refused(f"segment of another area than its pixels in the PNG: {told}")
        more = sorted(runs.keys() - things.keys())
        if more:
            raise Refused(f"segment in the PNG and not in the JSON: {more[0]}")
        return [one.model_copy(update={"rle": one.rle.as_text()}) for one in things.values()]


def _segment_id(said: Any) -> int:
    number = said.get("id") if isinstance(said, dict) else None
    if type(number) is not int or number <= 0:
        raise Refused(f"segment without an id above 0: {str(said)[:60]}")
    if number > LARGEST:
        raise Refused(f"segment id above {LARGEST}, which no RGB PNG holds: {number}")
    return number


def segment_ids(data: bytes) -> np.ndarray:
    """int32 (height, width) ids of a PNG; Refused for one whose pixels are no RGB of 8 bits."""
    if data[:8] != SIGNATURE or len(data) < 33:
        raise Refused("panoptic PNG that is no PNG")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    if bits != 8 or colour not in (2, 6):
        what = f"{COLOURS.get(colour, colour)} of {bits} bits"
        raise Refused(f"panoptic PNG that is no RGB of 8 bits, in which ids are written: {what}")
    if not 0 < width * height <= MAX_PIXELS:
        raise Refused(f"panoptic PNG of too many pixels: {width} x {height}")
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            pixels = np.asarray(image)
    except Exception as error:  # Pillow's decoders raise a dozen kinds
        raise Refused(f"panoptic PNG that is damaged: {str(error)[:80]}") from None
    red, green, blue = (pixels[:, :, i].astype(np.int32) for i in range(3))
    return red + (green << 8) + (blue << 16)


def segment_runs(ids: np.ndarray) -> dict[int, list[int]]:
    """Run lengths of each segment of a map, column by column, the first of background."""
    flat = ids.T.ravel()
    first = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    last = np.append(first[1:], flat.size)
    order = np.argsort(flat[first], kind="stable")
    values, starts = np.unique(flat[first][order], return_index=True)
    found = {}
    for number, group in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        edges = np.column_stack([first[group], last[group]]).ravel()
        counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        if number:
            found[number] = counts if counts[-1] else counts[:-1]
    return found
