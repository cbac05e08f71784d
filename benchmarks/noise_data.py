"""The posts and labelled sets of the noise study: Tiny ImageNet under drawn hashtags.

CIFAR-10 and its own classes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.packs import CIFAR, PHOTOS, Photo, photographs, tag_forms, write_nouns
from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.sources.labelled import Model
from corpus.store.read import STORE
from corpus.store.write import write_store


class Sizes(NamedTuple):
    """How large a study is; the numbers of photographs are per class."""

    posts: int = (
        250  # of the most frequent class; the one of rank r has 11 / (r + 10) as many (Zipf)
    )
    labels: int = 50
    test: int = 500  # at most
    images: int = 64_000  # seen in pretraining
    length: float = 2.0  # of a training list that repeats rare tags, over the posts
    epochs: int = 20  # of fine-tuning
    min_posts: int = 10
    seeds: int = 3


QUICK = Sizes(posts=60, labels=10, test=10, images=1500, epochs=2, seeds=1)


def first(photos: Iterable[Photo], limits: Mapping[str, int]) -> Iterator[Photo]:
    """The first photographs of each class, as many as `limits` says."""
    taken: Counter[str] = Counter()
    for photo in photos:
        taken[photo.label] += 1
        if taken[photo.label] <= limits[photo.label]:
            yield photo


def labelled(path: Path, train: Iterable[Photo], test: Iterable[Photo]) -> None:
    """Writes a labelled set."""
    both = [("train", photo) for photo in train] + [("test", photo) for photo in test]
    named = ((f"{photo.label}-{photo.part}-{photo.file}", split, photo) for split, photo in both)
    write_store(
        path,
        ((Label(id=n, image=n, label=photo.label, split=s), photo.data) for n, s, photo in named),
    )


def posted(path: Path, photos: list[Photo], nouns: Path, seed: int) -> None:
    """Writes the photographs as posts under the hashtags that corpus/sources/labelled.py draws
    for their classes.
    """
    images = Counter(photo.label for photo in photos)
    model = Model(images, **tag_forms(nouns, sorted(images)), noise=0, seed=seed)
    named = ((f"{photo.label}/{photo.file}", photo) for photo in photos)
    drawn = ((n, model.post(photo.label, n), photo.data) for n, photo in named)
    write_store(
        path,
        (
            (Post(id=n, image=n, **p | {"time": p["time"].isoformat()}), data)
            for n, p, data in drawn
        ),
    )


def stores(folder: Path, data: Path, sizes: Sizes, seed: int) -> None:
    """The packs in `folder` as data/posts, data/targets/{tinyimagenet,cifar10} and
    data/nouns.tsv, unless there.

    The source classes are probed with photographs that are no posts, and tested with the pack's
    validation part.
    """
    if (data / "posts" / STORE).exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    write_nouns(folder, data / "nouns.tsv")
    photos = list(photographs(folder, PHOTOS))
    wnids = sorted({photo.label for photo in photos})
    ranked = np.random.default_rng(0).permutation(wnids).tolist()
    frequency = {name: sizes.posts * 11 // (rank + 10) for rank, name in enumerate(ranked, 1)}
    ours = [photo for photo in photos if photo.part == "train"]
    test = first(
        (photo for photo in photos if photo.part == "val"), dict.fromkeys(wnids, sizes.test)
    )
    labelled(
        data / "targets" / "tinyimagenet",
        first(ours[::-1], dict.fromkeys(wnids, sizes.labels)),
        test,
    )
    cifar = list(photographs(folder, CIFAR))
    parts_of = {part: [] for part in ("train", "test")}
    for photo in cifar:
        if photo.part in parts_of:
            parts_of[photo.part].append(photo)
    classes = {photo.label for photo in cifar}
    few = first(
        parts_of["train"], dict.fromkeys(classes, 4 * sizes.labels)
    )  # a seed draws its own of these
    labelled(
        data / "targets" / "cifar10",
        few,
        first(parts_of["test"], dict.fromkeys(classes, sizes.test)),
    )
    posted(
        data / "posts", list(first(ours, frequency)), data / "nouns.tsv", seed
    )  # last: its list says all is there
