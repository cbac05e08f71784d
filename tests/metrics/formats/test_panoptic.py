"""COCO's panoptic files: read as they were written, and told where they are broken."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.formats.panoptic import read
from metrics.formats.pngs import decoded_ids
from metrics.pq import PQ
from tests.metrics.panoptic.scenes import columns, scenes, write_ids, written

PAIRS = [pair for pair in scenes(40) if len(pair[0].ids) > 1 < len(pair[1].ids)][:3]


@pytest.fixture
def files(tmp_path):
    given, true = zip(*PAIRS, strict=True)
    return written(tmp_path, "given", given), written(tmp_path, "true", true)


def measured(given: Path, true: Path, **options) -> dict[str, float]:
    metric = PQ(0)
    pair = read(given, true, metric.reads, **options)
    metric.update(pair.predictions, pair.targets)
    return metric.compute()


@pytest.mark.parametrize("threads", [1, 3])
def test_files_or_their_folders_are_the_scenes_again(files, threads):
    metric = PQ(0)
    metric.update(*columns(PAIRS))
    assert measured(*files, threads=threads) == metric.compute()
    assert measured(*(file.with_suffix("") for file in files)) == metric.compute()
    pair = read(*files, metric.reads)
    assert pair.names == [f"class {place}" for place in range(5)]
    assert pair.samples == ["0", "1", "2"]
    for side, batch in zip(zip(*PAIRS, strict=True), (pair.predictions, pair.targets), strict=True):
        assert len(batch["panoptic"][1:]) == 2
        for row, scene in enumerate(side):
            assert np.array_equal(batch["panoptic"][row] % 2**24, scene.pixels)
            assert batch["panoptic_id"][row].tolist() == scene.ids.tolist()


def test_an_id_is_exact_up_to_the_highest_and_in_images_of_any_size(tmp_path):
    pixels = np.zeros((2100, 2100), np.int32)  # more than Pillow keeps in one block
    pixels[5, :3] = 2**24 - 1, 65536, 256
    write_ids(tmp_path / "a.png", pixels)
    found = decoded_ids(tmp_path / "a.png")
    assert found.dtype == torch.int32 and np.array_equal(found % 2**24, pixels)


def edited(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def segment(**values):
    """A change of the first segment."""
    return lambda content: content["annotations"][0]["segments_info"][0].update(values)


def removed(content: dict) -> None:
    content["annotations"][0]["segments_info"].pop()


def added(content: dict) -> None:
    first = content["annotations"][0]["segments_info"]
    first.append(first[0] | {"id": 2**24 - 2})


def repeated(content: dict) -> None:
    content["annotations"].append(content["annotations"][0])


def twice(content: dict) -> None:
    first = content["annotations"][0]["segments_info"]
    first.append(first[0])


@pytest.mark.parametrize(
    ("side", "change", "told"),
    [
        (0, removed, r"true/0.png: the prediction has 1 ids \(\d+\) in the map, and .* none"),
        (1, removed, r"the target has 1 ids"),
        (0, added, r"the prediction has 1 segments without a pixel in the map \(ids 16777214\)"),
        (0, twice, r"given.json, image 0: segments have 1 ids more than once"),
        (0, segment(id=2**24), r"1 of \d+ segments have an id that is no whole number of 1 to 16"),
        (0, segment(id=0), "no whole number of 1 to"),
        (0, segment(id=5.0), "no whole number of 1 to"),
        (0, segment(category_id=4), "category_id that is none of the truth's 5 .image 0: "),
        (1, segment(area=float("nan")), "an area that is no number of 0 or more"),
        (0, lambda content: content["annotations"][0].pop("file_name"), "1 of 3 annotations lack"),
        (0, lambda content: content["annotations"][0].update(file_name="../x.png"), "within the"),
        (
            0,
            lambda content: content["annotations"].pop(),
            "1 of 3 images of the truth have no prediction .2.",
        ),
        (
            1,
            lambda content: content["annotations"].pop(),
            "1 of 3 predictions are of images without a truth .2.",
        ),
        (1, lambda content: content.pop("categories"), "true.json has no categories"),
        (0, lambda content: content.pop("annotations"), "has no list of annotations"),
        (1, repeated, "true.json: annotations of images have 1 ids more than once"),
    ],
)
def test_a_json_that_does_not_fit_is_told(files, side, change, told):
    edited(files[side], change)
    with pytest.raises(ValueError, match=told):
        measured(*files)


def test_a_segment_of_the_truth_without_a_pixel_is_missed(files):
    before = measured(*files)
    edited(files[1], added)
    assert measured(*files)["fn"] == before["fn"] + 1


def test_images_that_one_file_alone_has_can_be_left_out(files):
    edited(files[1], lambda content: content["annotations"].pop())
    metric = PQ(0)
    metric.update(*columns(PAIRS[:2]))
    assert measured(*files, common=True) == metric.compute()


def grey(file: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels.astype(np.uint16)).save(file)


def palette(file: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels.astype(np.uint8)).convert("P").save(file)


def cut(file: Path, pixels: np.ndarray) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def jpeg(file: Path, pixels: np.ndarray) -> None:
    Image.new("RGB", (8, 8)).save(file, "JPEG")


def deep(file: Path, pixels: np.ndarray) -> None:
    headed(file, 24, b"\x10")


def headed(file: Path, place: int, values: bytes) -> None:
    """Other values in a PNG's first chunk, and its checksum after them."""
    data = bytearray(file.read_bytes())
    data[place : place + len(values)] = values
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    file.write_bytes(data)


def wide(file: Path, pixels: np.ndarray) -> None:
    write_ids(file, np.zeros((pixels.shape[0], pixels.shape[1] + 1), np.int32))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (grey, "given/1.png is a PNG of grey of 16 bits, .* write it as RGB"),
        (palette, "is a PNG of a palette of 8 bits"),
        (cut, "given/1.png cannot be decoded"),
        (jpeg, "given/1.png is no PNG"),
        (deep, "given/1.png is a PNG of colours of 16 bits"),
        (wide, r"the prediction is of \(\d+, \d+\) pixels, the target of"),
        (lambda file, pixels: file.unlink(), r"given/1.png cannot be read \(No such file"),
        (lambda file, pixels: file.write_bytes(b""), "given/1.png is no PNG, 0 bytes"),
    ],
)
def test_a_png_that_does_not_fit_is_told(files, broken, told):
    file = files[0].with_suffix("") / "1.png"
    broken(file, PAIRS[1][0].pixels)
    with pytest.raises(ValueError, match=told):
        measured(*files)


def test_a_png_of_too_many_pixels_is_never_decoded(files):
    headed(files[0].with_suffix("") / "1.png", 16, (60_000).to_bytes(4, "big") * 2)
    with pytest.raises(ValueError, match=r"1.png: 60000 x 60000 pixels, allowed are 1 to"):
        measured(*files)


def test_a_json_that_is_cut_and_a_folder_that_is_not_there_are_told(files):
    text = files[1].read_text()
    files[1].write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r"true.json is no JSON, or only a part of it"):
        measured(*files)
    files[1].unlink()
    with pytest.raises(ValueError, match=r"true.json is not there"):
        measured(*files)
    shutil.rmtree(files[0].with_suffix(""))
    with pytest.raises(ValueError, match=r"given.json has no folder given of its PNGs"):
        measured(*files)
