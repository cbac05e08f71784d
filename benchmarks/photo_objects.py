"""Objects and classes of pixels on photographs: from hashtags of Tiny ImageNet and from scratch,
with a tenth of the labels and with all.

    python -m benchmarks.photo_objects -S photos.raccoons=FOLDER -S photos.streets=FOLDER [--quick]

Mahajan et al. 2018, arXiv 1805.00932, section 3.2 (transfer to detection); He, Girshick, Dollar
2019, arXiv 1811.08883 (few labels). The photographs with objects are in no data pack: FOLDERs are
clones of what recipes/photo_objects.yaml names, or folders of the same layout. The DAG runs in a
clone of this repository's HEAD; run again, it goes on there.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.clone import python
from benchmarks.objects import paged
from benchmarks.overlays import Made, Sections, Study, main
from benchmarks.packs import NOUNS, PHOTOS
from benchmarks.photographs_data import WORDNET, posts
from engine.core.build import options
from engine.core.digest import digest
from flows.running import settings

TASKS = {
    "raccoons": "AP of boxes, all labels",
    "raccoons-few": "AP of boxes, a tenth of the labels",
    "streets": "mean IoU of the classes of pixels, all labels",
    "streets-few": "mean IoU of the classes of pixels, a tenth of the labels",
}
# CamVid's eleven classes in the order of the numbers in its maps; the twelfth is unlabelled
STREET = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car")
STREET += ("pedestrian", "bicyclist")
QUICK = ("posts.per_class=4", "corpus.min_posts=2", "pretrain.*.epochs=1")
QUICK += ("pretrain.*.recipe.warmup=0", "tasks.*.recipe.warmup=0", "tasks.*.epochs=1")
QUICK += ("tasks.*.seeds=[0, 1]", "evaluate.runs=3")
ABOUT = """The mean over seeds in % (95 % interval over seeds and images), on the test images, at 96
px and by a small network: numbers compare the rows."""


def streets(folder: Path, out: Path) -> None:
    """Maps of class numbers, `<split>annot/*.png` beside `<split>/*.png`, as COCO's panoptic ones:
    a segment for each class of an image."""
    categories = [{"id": 1 + i, "name": name, "isthing": 0} for i, name in enumerate(STREET)]
    number = 0
    for split in ("train", "val", "test"):
        maps, images, annotations = out / "annotations" / f"panoptic_{split}", [], []
        maps.mkdir(parents=True)
        shutil.copytree(folder / split, out / split)
        for file in sorted((folder / f"{split}annot").glob("*.png")):
            classes = np.asarray(Image.open(file))
            ids = np.where(classes < len(STREET), classes.astype(np.int32) + 1, 0)
            colours = np.zeros((*ids.shape, 3), np.uint8)
            colours[..., 0] = ids
            Image.fromarray(colours).save(maps / file.name)
            number += 1
            sides = {"width": ids.shape[1], "height": ids.shape[0]}
            images.append({"id": number, "file_name": file.name, **sides})
            annotations.append(_segments(ids, number, file.name))
        whole = {"images": images, "annotations": annotations, "categories": categories}
        (out / "annotations" / f"panoptic_{split}.json").write_text(json.dumps(whole))


def _segments(ids: np.ndarray, image: int, name: str) -> dict[str, Any]:
    found = []
    for one in np.unique(ids[ids > 0]).tolist():
        mask = ids == one
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
        found.append({"id": one, "category_id": one, "area": int(mask.sum()), "bbox": box})
        found[-1]["iscrowd"] = 0
    return {"image_id": image, "file_name": name, "segments_info": found}


def drawn(packs: Path, work: Path, target: str, sections: Sections) -> None:
    """Posts and both sets in the clone's data/, unless the same code has put them there."""
    own = sections["photos"]
    lacking = [name for name, folder in own.items() if not folder or not Path(folder).is_dir()]
    if lacking:
        raise ValueError(
            f"photos.{lacking[0]}: {own[lacking[0]]!r} is no folder: clone what "
            f"recipes/photo_objects.yaml names, and say -S photos.{lacking[0]}=FOLDER"
        )
    key = digest(sections, Path(__file__), Path(__file__).with_name("photographs_data.py"))
    made, data = work / settings.STATE / "photo_objects.key", work / "data"
    if made.exists() and made.read_text() == key and data.exists():
        return
    made.unlink(missing_ok=True)
    add = ("flows.version", "add")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        posts(packs, out, **options(posts, sections["posts"], "posts", ("packs", "out")))
        streets(Path(own["streets"]), out / "streets")
        # whatever an earlier version of this recipe left there
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        shutil.copyfile(out / WORDNET, data / WORDNET)
        python(work, *add, "--images", folder, "--posts", str(out / "posts.jsonl"))
        # commands run in the clone
        raccoons = str(Path(own["raccoons"]).resolve())
        boxes = ("--kind", "boxes", "--target", "raccoons", "--labels", raccoons)
        python(work, *add, *boxes)
        maps = ("--kind", "panoptic", "--target", "streets", "--labels", str(out / "streets"))
        python(work, *add, *maps)
    made.parent.mkdir(exist_ok=True)
    made.write_text(key)


def page(made: Made) -> str:
    """The result as Markdown: how it came about, what came out."""
    # where the photographs lie is of no use to others
    made.sections["photos"] = sorted(made.sections["photos"])
    return paged(made, "Objects and classes of pixels on photographs", ABOUT, TASKS)


STUDY = Study(
    "photo_objects",
    __doc__.split("\n\n")[0],
    QUICK,
    page,
    task="raccoons",
    packs=(PHOTOS, NOUNS),
    told={"photos": "photographs with objects", "posts": "posts from Tiny ImageNet"},
    data=drawn,
)

if __name__ == "__main__":
    main(STUDY)
