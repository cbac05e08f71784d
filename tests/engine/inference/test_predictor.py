"""A Predictor gives what the stages corpus and evaluate gave: the same squares, the same scores."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.media.decoding import decode
from corpus.media.images import BadImage
from corpus.store.squares import _square
from engine.core.resizing import resized
from engine.core.samples import Rows, open_split
from engine.inference.fitting import Fitting
from engine.inference.predictor import RANKED, Predictor
from flows.measuring import records
from flows.serving.export import graph
from metrics.accuracy import Accuracy
from tests.support.photographs import encoded, picture, tiny_weights
from tests.support.shards import write_shards

SIZE, CLASSES = 16, [f"class {number}" for number in range(7)]


def saved(folder: Path, objective: str, names: list[str] = CLASSES) -> Path:
    return tiny_weights(folder / f"{objective}.safetensors", objective, names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def classes(folder) -> Predictor:
    return Predictor(saved(folder, "supervised"), SIZE)


TURNED = Image.Exif()
TURNED[0x0112] = 6
IMAGES = {
    "a photograph, decoded reduced": encoded(picture(300, 200), "JPEG", quality=90),
    "turned by EXIF": encoded(picture(90, 60), "JPEG", exif=TURNED),
    "a square already": encoded(picture(SIZE, SIZE), "JPEG"),
    "a PNG": encoded(picture(50, 80), "PNG"),
    "grey": encoded(picture(40, 40).convert("L"), "JPEG"),
    "see-through": encoded(picture(40, 30).convert("RGBA"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("data", IMAGES.values(), ids=IMAGES)
def test_the_square_is_the_one_that_the_corpus_stores(classes, data):
    stored, _, _, reason = _square(SIZE, ("name", data))
    assert not reason
    assert np.array_equal(classes.square(data), decode(stored))


def test_arrays_and_pillow_s_images_count_as_a_png_of_the_same_pixels(classes):
    image = picture(70, 40)
    expected = classes.square(encoded(image, "PNG"))
    opened = Image.open(BytesIO(encoded(image, "PNG")))
    for given in (image, np.asarray(image), np.asarray(image.convert("RGBA")), opened):
        assert np.array_equal(classes.square(given), expected)
    grey = image.convert("L")
    assert np.array_equal(classes.square(np.asarray(grey)), classes.square(encoded(grey, "PNG")))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (b"", "empty"),
        (b"no image", "unknown format"),
        (encoded(picture(60, 60), "PNG")[:-200], "truncated"),
        (np.zeros((4, 4), np.float32), "unsupported pixels.*give uint8"),
        (np.zeros((4, 4, 2), np.uint8), "unsupported pixels"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.broadcast_to(np.uint8(0), (10_000, 10_000)), "too many pixels"),
        (Image.open(BytesIO(encoded(picture(60, 60), "JPEG")[:-200])), "truncated"),
        (Image.new("F", (4, 4)), "unsupported pixels"),
        (None, "NoneType is no image"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(classes, given, reason):
    with pytest.raises(BadImage, match=reason):
        classes.square(given)


@pytest.fixture(scope="module")
def scenes(folder) -> Path:
    """Forty test images as the stage corpus leaves them."""
    images = [encoded(picture(SIZE, SIZE, seed=n), "JPEG") for n in range(40)]
    rows = [(f"test-{n}", "test", image, [n % 7]) for n, image in enumerate(images)]
    rows += [("val-0", "val", images[0], [0]), ("train-0", "train", images[0], [0])]
    write_shards(folder / "scenes", rows, CLASSES, SIZE)
    return folder / "scenes"


@pytest.mark.parametrize("tested", [SIZE, 24])
def test_scores_are_those_of_the_stage_evaluate_to_the_last_bit(folder, scenes, tested):
    weights = folder / "supervised.safetensors"
    network_ = Predictor(saved(folder, "supervised"), SIZE, tested=tested)
    assert (network_.names, network_.several, network_.size) == (CLASSES, "", SIZE)
    task = {"metric": {"name": "accuracy"}, "policy": {"name": "plain"}}
    _, expected = records.tested(weights, scenes, tested, set(), task, validated=0.0)
    images = open_split(scenes, "test").images(torch.arange(40))
    scores, best = network_.ranked(images, 3)
    assert scores.shape == best.shape == (40, 3)
    assert np.array_equal(best[:, 0].numpy(), expected.guess)
    assert np.array_equal(scores[:, 0].numpy(), expected.score)
    every = network_.scores(images)
    assert torch.equal(every.gather(1, best), scores) and every.dtype == torch.float32
    assert every.sum(1).numpy() == pytest.approx(1)
    assert torch.equal(network_.ranked(images, 99)[0], every.sort(1, descending=True).values)
    assert network_.features(images).shape == (40, network_.module.backbone.channels[-1])


def test_the_network_is_given_what_rows_of_another_size_are(scenes):
    shards = open_split(scenes, "test")
    stored = shards.images([3, 5])
    rows = Rows(shards, {"image": {}}, torch.tensor([3, 5]), size=24)
    given = rows.read(torch.arange(2))["image"]
    assert torch.equal(resized(stored, 24), given) and given.shape == (2, 24, 24, 3)
    assert resized(stored, SIZE) is stored


def test_as_many_scores_are_ranked_as_the_stage_evaluate_ranks():
    assert max(Accuracy().topk) == RANKED


def test_a_pretrained_network_has_hashtags_and_a_pretext_task_none(folder):
    hashtags = Predictor(saved(folder, "hashtags", ["sea", "dog"]), SIZE, "cpu")
    assert hashtags.several == "hashtags" and hashtags.predicts and hashtags.names == ["sea", "dog"]
    puzzles = Predictor(saved(folder, "rotation"), SIZE)
    images = torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="pretext task 'rotation' predicts none"):
        puzzles.scores(images)
    assert not puzzles.predicts and len(puzzles.features(images)) == 2
    views = Predictor(saved(folder, "simclr"), SIZE)
    with pytest.raises(ValueError, match="pretext task 'simclr' predicts none"):
        views.scores(images)
    assert not views.predicts and views.features(images).shape == (2, views.width)
    tiles = Predictor(saved(folder, "jigsaw"), SIZE)
    # of every tile, one beside the other
    assert tiles.features(images).shape == (2, tiles.width)
    assert tiles.width > tiles.module.backbone.channels[-1]


def test_of_tags_each_is_probable_by_itself(folder, tmp_path):
    weights = saved(folder, "multilabel")
    tags = Predictor(weights, SIZE, "cpu")
    images = torch.randint(0, 256, (3, SIZE, SIZE, 3)).to(torch.uint8)
    with torch.no_grad():
        logits = tags.module.logits(tags.module.plain(images))
    assert tags.several == "tags"
    torch.testing.assert_close(tags.scores(images), logits.sigmoid())
    scores, best = tags.ranked(images, 2)
    torch.testing.assert_close(scores, logits.sigmoid().gather(1, best))
    program = graph(weights, SIZE)[0]
    torch.testing.assert_close(program(tags.module.plain(images)), logits.sigmoid())


def test_memory_that_runs_out_halves_the_batch_and_loses_nothing():
    seen = []

    def limited(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if len(images) > 3:
            raise MemoryError("spent")
        seen.append(len(images))
        return images, images + 1

    fitting = Fitting(8)
    one, two = fitting(limited, torch.arange(10))
    assert torch.equal(one, torch.arange(10)) and torch.equal(two, one + 1)
    # 8 and 4 were too many
    assert seen == [2] * 5 and fitting.batch == 2
    assert len(fitting(limited, torch.arange(2))[0]) == 2

    def never(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise MemoryError("spent")

    with pytest.raises(ValueError, match="one image does not fit into memory"):
        fitting(never, torch.arange(2))
    with pytest.raises(RuntimeError, match="another fault"):
        fitting(lambda images: (_ for _ in ()).throw(RuntimeError("another fault")), images=one)
