"""Images or videos read and shown to a network, batch by batch, in constant memory.

Threads read and decode ahead while the network is at work; the rows come in the order of the
images, one for each, and a bad image is a row with its reason.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from corpus.sources import s3
from corpus.sources.rows import prefetch
from corpus.sources.unlabelled import NamedImage
from engine.inference.choosing import margins
from engine.inference.fitting import Fitting
from engine.inference.predictor import Predictor
from engine.inference.scenes import Picture, ScenePredictor
from flows.predicting import scenes

T = TypeVar("T")
CHUNK = 32  # images that a thread decodes at a time: one by one their hand-over would cost


class Wanted(NamedTuple):
    """What is wanted of each image: the best `top` names, or all objects, of a score from
    `threshold` on; None: any name, the surer objects.

    features: whether its features, too.
    """

    top: int
    threshold: float | None
    features: bool


class Chunk(NamedTuple):
    """Images that were decoded: their names, the reason of each bad one, the good ones' squares,
    or clips of videos.
    """

    names: list[str]
    reasons: list[str]
    pixels: list[Any]


def kept_schema(predictor: Predictor, wanted: Wanted) -> pa.Schema:
    """The columns of the rows of `look`."""
    best, scores = pa.list_(pa.int32()), pa.list_(pa.float32())
    columns = {"image": pa.string(), "error": pa.string()}
    columns |= scenes.FIELDS if predictor.finds else {"best": best, "scores": scores}
    if wanted.features and not predictor.finds:
        columns["margin"] = pa.float32()
    if wanted.features:
        columns["features"] = pa.list_(pa.float32(), predictor.width)
    return pa.schema(columns)


def decoded(predictor: Predictor, images: list[NamedImage]) -> Chunk:
    """Some images, or videos, read as the network wants them."""
    reasons, found = [], []
    for image in images:
        try:
            found.append(predictor.read(image.read()))
            reasons.append("")
        except s3.Unreachable:  # of S3 itself, no fault of the image
            raise
        except ValueError as error:
            reasons.append(str(error) or type(error).__name__)
    return Chunk([image.name for image in images], reasons, found)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = iter(items)
    yield from iter(lambda: list(islice(items, size)), [])


def look(
    predictor: Predictor,
    images: Iterable[NamedImage],
    wanted: Wanted,
    batch: int,
    threads: int,
) -> Iterator[pa.RecordBatch]:
    """A row per image, in batches; OutOfMemory where a single image does not fit."""
    schema = kept_schema(predictor, wanted)
    batch = min(batch, getattr(predictor, "at_once", batch))
    # a video is long to decode: one by one, so that all threads have some
    size = min(CHUNK, batch) if predictor.column == "image" else 1
    each = -(-batch // size)  # chunks of a batch
    fitting = Fitting(each * size)
    chunks = _chunks(images, size)
    done = prefetch(partial(decoded, predictor), chunks, threads, 2 * each + threads)
    for some in _chunks(done, each):
        yield _rows(predictor, fitting, some, wanted, schema)


def _rows(
    predictor: Predictor, fitting: Fitting, chunks: list[Chunk], wanted: Wanted, schema: pa.Schema
) -> pa.RecordBatch:
    reasons = [reason for chunk in chunks for reason in chunk.reasons]
    bad = np.array([bool(reason) for reason in reasons])
    pixels = predictor.together([each for chunk in chunks for each in chunk.pixels])
    columns = {
        "image": pa.array([name for chunk in chunks for name in chunk.names], pa.string()),
        "error": pa.array([reason or None for reason in reasons], pa.string()),
    }
    columns |= _looked_at(predictor, fitting, pixels, wanted, bad)
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _looked_at(
    predictor: Predictor,
    fitting: Fitting,
    pixels: Tensor | list[Tensor],
    wanted: Wanted,
    bad: np.ndarray,
) -> dict[str, pa.Array]:
    """The columns that the network fills; empty at the bad images."""

    if predictor.finds:
        return _objects(predictor, fitting, pixels, wanted, bad)

    def of_images(images: Tensor) -> tuple[Tensor, ...]:
        # two are ranked at least: their margin tells how sure the network is
        found = predictor.ranked(images, max(2, wanted.top)) if predictor.predicts else ()
        return (*found, predictor.features(images)) if wanted.features else tuple(found)

    found = fitting(of_images, pixels) if len(pixels) else ()
    scores, best = found[:2] if predictor.predicts and found else (torch.zeros(len(pixels), 0),) * 2
    columns = _lists(scores, best, wanted, bad)
    if wanted.features:
        features = found[-1] if found else torch.zeros(0, predictor.width)
        columns |= {
            "margin": pa.array(_spread(margins(scores).numpy(), bad, np.nan), mask=bad),
            "features": _fixed(_spread(features.numpy(), bad, np.nan), bad),
        }
    return columns


def _objects(
    predictor: ScenePredictor,
    fitting: Fitting,
    pictures: list[Picture],
    wanted: Wanted,
    bad: np.ndarray,
) -> dict[str, pa.Array]:
    """The columns of a network that finds objects."""
    least = scenes.LEAST if wanted.threshold is None else wanted.threshold
    columns = scenes.found_columns(predictor, fitting, pictures, least, bad)
    if wanted.features:
        found = torch.zeros(0, predictor.width)
        if pictures:
            [found] = fitting(lambda some: (predictor.features(some),), pictures)
        columns["features"] = _fixed(_spread(found.numpy(), bad, np.nan), bad)
    return columns


def _lists(scores: Tensor, best: Tensor, wanted: Wanted, bad: np.ndarray) -> dict[str, pa.Array]:
    """The best few of each image, those of a score from the threshold on."""
    scores, best = scores[:, : wanted.top], best[:, : wanted.top]
    # scores fall, so these are the first ones
    chosen = scores >= (wanted.threshold or 0)
    offsets = np.zeros(len(bad) + 1, np.int32)
    np.cumsum(_spread(chosen.sum(1).numpy(), bad, 0), out=offsets[1:])
    offsets = pa.array(offsets)
    flat = {
        "best": pa.array(best[chosen].numpy().astype(np.int32)),
        "scores": pa.array(scores[chosen].numpy()),
    }
    mask = pa.array(bad)
    return {
        name: pa.ListArray.from_arrays(offsets, values, mask=mask) for name, values in flat.items()
    }


def _spread(values: np.ndarray, bad: np.ndarray, empty: float) -> np.ndarray:
    """Values of the good images (n, ...) in the places of all; `empty` at the bad ones."""
    found = np.full((len(bad), *values.shape[1:]), empty, values.dtype)
    found[~bad] = values
    return found


def _fixed(features: np.ndarray, bad: np.ndarray) -> pa.FixedSizeListArray:
    width = features.shape[1]
    return pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), width, mask=pa.array(bad))
