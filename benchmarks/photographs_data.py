"""Posts and labels of the recipes on photographs: Tiny ImageNet posted under WordNet hashtags, and
CIFAR-10.

Hashtags are WordNet lemmas, drawn by corpus/sources/labelled.py and merged by synset, as in Mahajan
et al. 2018 (arXiv 1805.00932), section 2.1.
"""

import csv
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.clone import python
from benchmarks.packs import CIFAR, NOUNS, PHOTOS, photographs, tag_forms, write_nouns
from corpus.records.record import json_line
from corpus.sources import labelled
from engine.core.build import options
from engine.core.digest import digest
from flows.running import settings

ROOT = Path(__file__).resolve().parents[1]
WORDNET = "wordnet_nouns.tsv"


def posts(
    packs: Path, out: Path, tags: dict[str, Any], per_class: int = 300, levels: int = 3
) -> None:
    """Writes Tiny ImageNet (64 px, both parts) as out/posts/<wnid>/* and out/posts.jsonl.

    WordNet beside them.

    `tags` are the keyword arguments of corpus.sources.labelled.Model; hypernyms are named up to
    `levels` above a class.
    """
    tags = options(labelled.Model, tags, "posts.tags", ("images", "forms", "hypernyms"))
    write_nouns(packs, out / WORDNET)
    taken: Counter[str] = Counter()
    for photo in photographs(packs, PHOTOS):
        taken[photo.label] += 1
        if taken[photo.label] <= per_class:
            image = out / "posts" / photo.label / f"{photo.part}-{photo.file}"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(photo.data)
    forms = tag_forms(out / WORDNET, sorted(taken), levels)
    with (out / "posts.jsonl").open("w", encoding="utf-8") as manifest:
        for row in labelled.labelled_posts(out / "posts", **forms, **tags):
            manifest.write(json_line(row.fields | {"image": f"posts/{row.fields['image']}"}))


def labels(packs: Path, out: Path, train: int = 200, val: int = 100, test: int = 1000) -> None:
    """Writes CIFAR-10 (32 px) as out/labels/* and out/labels.csv: the first images per class of
    its own two parts.

    `train` and `val` are apart and from its training images, `test` from its test images; all
    numbers are per class.
    """
    (out / "labels").mkdir(parents=True)
    taken: Counter[tuple[str, str]] = Counter()
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        manifest = csv.writer(file, lineterminator="\n")
        manifest.writerow(("image", "label", "split"))
        for part, label, name, data in photographs(packs, CIFAR):
            number = taken[part, label]
            taken[part, label] += 1
            split = part if number < (test if part == "test" else train) else "val"
            if number < (test if part == "test" else train + val):
                image = f"labels/{part}-{label}-{name}"
                (out / image).write_bytes(data)
                manifest.writerow((image, label, split))


def versioned(packs: Path, work: Path, target: str, sections: dict[str, dict[str, Any]]) -> None:
    """WordNet, posts and labels into the clone's data/ and data.dvc, unless the same code has
    put them there.
    """
    key = digest(
        sections, target, {pack: (packs / pack).stat().st_size for pack in (PHOTOS, NOUNS, CIFAR)}
    )
    key = digest(key, Path(__file__), Path(__file__).with_name("packs.py"), ROOT / "corpus")
    made, data = work / settings.STATE / "photographs.key", work / "data"
    if made.exists() and made.read_text() == key and data.exists():
        return
    made.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        posts(packs, out, **options(posts, sections["posts"], "posts", ("packs", "out")))
        labels(packs, out, **options(labels, sections["labels"], "labels", ("packs", "out")))
        shutil.rmtree(
            data, ignore_errors=True
        )  # whatever an earlier version of this recipe left there
        data.mkdir()
        shutil.copyfile(out / WORDNET, data / WORDNET)
        manifests = ("--posts", str(out / "posts.jsonl"), "--labels", str(out / "labels.csv"))
        python(work, "flows.version", "add", "--images", folder, *manifests, "--target", target)
    made.parent.mkdir(exist_ok=True)
    made.write_text(key)
