"""Drawn posts, scenes and objects in the data/ of a study's clone."""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.clone import python
from benchmarks.overlays import ROOT, Sections
from corpus.drawn.objects import Images, draw_objects, object_records
from corpus.drawn.sample import draw_sample
from corpus.records.objects import Scene
from corpus.store.write import write_store
from engine.core.build import options
from engine.core.digest import digest
from flows.running import settings

TOLD = {"drawn": "drawn posts, scenes and objects"}  # the section of an overlay, and its name
EXCHANGED = "exchanged"  # objects, with the annotations of others


def exchanged(records: Iterable[tuple[Scene, bytes]]) -> Iterator[tuple[Scene, bytes]]:
    """Each image of the split train in the place of another one of the same sides."""
    alike: dict[tuple[int, int], list[tuple[Scene, bytes]]] = defaultdict(list)
    for scene, image in records:
        if scene.split == "train":
            alike[scene.width, scene.height].append((scene, image))
        else:
            yield scene, image
    for group in alike.values():
        for place, (scene, _) in enumerate(group):
            yield scene, group[place - 1][1]


def draw(
    data: Path,
    posts: int = 3000,
    per_class: int = 30,
    images: Images = (300, 60, 200),
    size: int = 96,
    seed: int = 0,
) -> None:
    """Posts and scenes; objects, panoptic maps of the same images, and exchanged objects."""
    draw_sample(data, seed, posts, (per_class, 10, 10), size)
    targets = data / "targets"
    for name, kind in (("objects", "boxes"), ("segments", "panoptic")):
        draw_objects(targets / name, kind, images, seed, size)
    records = exchanged(object_records(seed, images, size, "boxes"))
    write_store(targets / EXCHANGED, records, kind="boxes")


def drawn(packs: Path, work: Path, target: str, sections: Sections) -> None:
    """All of it in the clone's data/, unless the same code has put it there."""
    own = sections["drawn"]
    key = digest(own, Path(__file__), ROOT / "corpus")
    made, data = work / settings.STATE / "drawn.key", work / "data"
    if made.exists() and made.read_text() == key and data.exists():
        return
    made.unlink(missing_ok=True)
    # whatever an earlier version of the recipe left there
    shutil.rmtree(data, ignore_errors=True)
    draw(data, **options(draw, own, "drawn", ("data",)))
    python(work, "dvc", "add", "-q", "data")
    made.parent.mkdir(exist_ok=True)
    made.write_text(key)
