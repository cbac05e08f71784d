"""Mean IoU and Boundary IoU of maps of classes: naive rewrites, what must be so, and files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metrics.boundary_iou import BoundaryIoU
from metrics.formats.labelmaps import read
from metrics.mean_iou import MeanIoU
from tests.metrics.masks.test_masks import naive_boundary

CLASSES = 5
METRICS = {"miou": lambda: MeanIoU(0), "boundary_iou": lambda: BoundaryIoU(0.06, 0)}


def maps(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(prediction, truth), uint8: blocks of classes, some of them unknown."""
    pairs = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        height, width = generator.integers(1, 40, 2).tolist()
        true = np.full((height, width), generator.integers(CLASSES), np.uint8)
        for _ in range(generator.integers(6)):
            top, left = generator.integers(height), generator.integers(width)
            true[top : top + 15, left : left + 12] = generator.integers(CLASSES)
        guess = np.roll(true, generator.integers(-2, 3, 2).tolist(), (0, 1))
        wrong = generator.random(true.shape) < 0.02
        guess[wrong] = generator.choice([0, 3, 7, 255])
        top, left = generator.integers(height), generator.integers(width)
        true[top : top + generator.integers(0, 9), left : left + 9] = 255
        pairs.append((guess, true))
    return pairs


PAIRS = maps(200)


def fed(name: str, pairs: list):
    metric = METRICS[name]()
    given, true = (list(map(torch.from_numpy, side)) for side in zip(*pairs, strict=True))
    metric.update({"semantic": given}, {"semantic": true})
    return metric


def naive(pairs: list, ratio: float | None) -> dict[int, float]:
    """The IoU of each class in percent, mask by mask."""
    both, whole = np.zeros(255), np.zeros(255)
    for guess, true in pairs:
        cut = np.where(true == 255, 255, guess)
        for label in range(8):
            one, two = cut == label, true == label
            if ratio is not None:
                one, two = naive_boundary(one, ratio), naive_boundary(two, ratio)
            both[label] += (one & two).sum()
            whole[label] += (one | two).sum()
    return {label: 100 * both[label] / whole[label] for label in np.flatnonzero(whole)}


@pytest.mark.parametrize(("name", "ratio"), [("miou", None), ("boundary_iou", 0.06)])
def test_the_naive_rule_gives_the_same(name, ratio):
    for pairs in [*([pair] for pair in PAIRS), PAIRS]:
        expected = naive(pairs, ratio)
        if not expected:
            with pytest.raises(ValueError, match=r"all pixels of 1 images are unknown"):
                fed(name, pairs).compute()
            continue
        metric = fed(name, pairs)
        assert {row["class"]: row["iou"] for row in metric.rows()} == pytest.approx(expected)
        assert metric.compute()[name] == pytest.approx(np.mean(list(expected.values())))


def test_accuracies_are_shares_of_the_known_pixels():
    guess, true = (np.concatenate([*map(np.ravel, side)]) for side in zip(*PAIRS, strict=True))
    guess, true = guess[true != 255], true[true != 255]
    found = fed("miou", PAIRS).compute()
    assert found["accuracy"] == pytest.approx(100 * (guess == true).mean())
    each = [100 * (guess == label)[true == label].mean() for label in range(CLASSES)]
    assert found["macc"] == pytest.approx(np.mean(each))
    picture = fed("miou", PAIRS).picture()
    assert np.diagonal(picture.cells)[:CLASSES] == pytest.approx(each)


@pytest.mark.parametrize("name", METRICS)
def test_what_must_be_so(name):
    """A truth is found whole; of another class nothing is; classes may change their numbers."""
    known = [pair for pair in PAIRS if (pair[1] != 255).any()]
    assert fed(name, [(true, true) for _, true in known]).compute()[name] == 100
    # what is said of pixels whose class nobody knows is not looked at
    said = [(np.where(true == 255, 3, true).astype(np.uint8), true) for _, true in known]
    assert fed(name, said).compute()[name] == 100
    assert fed(name, [(np.full_like(true, 9), true) for _, true in known]).compute()[name] == 0
    assert fed(name, [(np.full_like(true, 255), true) for _, true in known]).compute()[name] == 0
    order = np.array([*np.random.default_rng(0).permutation(250), *range(250, 256)])
    other = [(order[guess], order[true]) for guess, true in PAIRS]
    assert fed(name, other).compute()[name] == pytest.approx(fed(name, PAIRS).compute()[name])


def grey(file: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(file)


def wide(file: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels.astype(np.uint16)).save(file)


def palette(file: Path, pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels, "P")
    image.putpalette(np.random.default_rng(0).integers(256, size=768).tolist())
    image.save(file)


@pytest.mark.parametrize("save", [grey, wide, palette])
@pytest.mark.parametrize("threads", [1, 2])
def test_maps_of_any_depth_are_read_as_they_were_written(save, threads, tmp_path):
    for side in (0, 1):
        (tmp_path / str(side) / "city").mkdir(parents=True)
        for place, pair in enumerate(PAIRS[:5]):
            save(tmp_path / str(side) / "city" / f"{place}.png", pair[side])
    pair = read(tmp_path / "0", tmp_path / "1", MeanIoU.reads, threads=threads)
    assert pair.samples == [f"city/{place}" for place in range(5)]
    metric = METRICS["miou"]()
    metric.update(pair.predictions, pair.targets)
    assert metric.compute() == fed("miou", PAIRS[:5]).compute()


def test_folders_that_do_not_fit_are_told(tmp_path):
    given, true = tmp_path / "given", tmp_path / "true"
    with pytest.raises(ValueError, match=r"is no folder: give the one"):
        read(given, true, MeanIoU.reads)
    given.mkdir()
    true.mkdir()
    with pytest.raises(ValueError, match="has no PNG"):
        read(given, true, MeanIoU.reads)
    grey(given / "a.png", PAIRS[0][0])
    grey(true / "b.png", PAIRS[0][1])
    with pytest.raises(ValueError, match=r"1 of 1 maps of .* have no truth in .* \(a\): give"):
        read(given, true, MeanIoU.reads)
    with pytest.raises(ValueError, match="has the name of one of"):
        read(given, true, MeanIoU.reads, common=True)
    Image.new("RGB", (4, 4)).save(true / "a.png")
    with pytest.raises(ValueError, match=r"true/a.png is a PNG of colours of 8 bits"):
        list(read(given, true, MeanIoU.reads, common=True).targets["semantic"])
    grey(true / "a.png", PAIRS[0][1][:, 1:])
    pair = read(given, true, MeanIoU.reads, common=True)
    with pytest.raises(ValueError, match=r"true/a.png: the prediction is of .* one size"):
        MeanIoU().update(pair.predictions, pair.targets)
    for wrong in (torch.zeros(3, 4), torch.full((3, 4), -1), torch.zeros(2, 3, 4).long()):
        with pytest.raises(ValueError, match=r"sample 0: .*give"):
            MeanIoU().update({"semantic": [wrong]}, {"semantic": [wrong]})
