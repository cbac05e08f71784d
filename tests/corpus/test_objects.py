"""Boxes, masks and panoptic maps through the stage corpus: drawn, stored, built, read again."""

import json
from fractions import Fraction
from io import BytesIO
from math import floor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from corpus.drawn.objects import draw_images, draw_objects, object_records, write_source
from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.media.kept import stored_sides
from corpus.reading.index import INDEX
from corpus.reading.shards import Shards
from corpus.records.objects import Scene
from corpus.sources.source import source_rows
from corpus.store.ingest import ingest
from corpus.store.read import read_records
from corpus.store.write import write_store
from engine.core.digest import digest
from engine.core.part import part_of
from engine.core.samples import Rows, few_per_class
from tests.corpus.test_corpus import drawing, encoded
from tests.support.corpora import build_with

IMAGES = (24, 6, 6)
OPTIONS = {"min_posts": 1, "min_tags": 1}
DRAWN = {one.key: one for one in draw_images(0, IMAGES, 96)}


def posts(data: Path) -> None:
    first, second = (one.scene.image for one in list(DRAWN.values())[2:4])
    images = [encoded(drawing(i)) for i in range(8)]
    half = Image.open(BytesIO(second)).reduce(2)
    records = []
    for i, image in enumerate([*images, first, encoded(half, "JPEG", quality=80)]):
        records.append((Post(id=f"p{i}", image=f"{i}.jpg", hashtags=["sea"]), image))
    write_store(data / "posts", records)


def labels(data: Path) -> None:
    records = []
    for i in range(12):
        about = {"label": "ab"[i % 2], "split": ["train", "val", "test"][i % 3]}
        records.append((Label(id=f"l{i}", image=f"{i}.png", **about), encoded(drawing(100 + i))))
    write_store(data / "targets/pets", records)


@pytest.fixture(scope="module", params=[96, 40], ids="size {}".format)
def built(request, tmp_path_factory) -> tuple[Path, int, dict]:
    """(out, size of the corpus, summary): at 96 px images are stored as they are, at 40 smaller."""
    top = tmp_path_factory.mktemp("objects")
    posts(top / "data")
    labels(top / "data")
    write_source(top / "own", IMAGES)
    for kind, name in (("boxes", "targets/boxes"), ("panoptic", "targets/maps")):
        rows = source_rows(str(top / "own"), None, kind, top / f"{kind} spool")
        done = ingest(rows, top / "data", name, kind=kind)
        assert done.kept == sum(IMAGES) and not done.refused
    options = OPTIONS | {"size": request.param}
    return top, request.param, build_with(top / "data", top / "out", top / "cache", **options)


def nearest(numbers: np.ndarray, width: int, height: int) -> np.ndarray:
    """The map at another size: each pixel is the one that its centre lies in."""
    found = np.zeros((height, width), numbers.dtype)
    for y, x in np.ndindex(height, width):
        row = (y + Fraction(1, 2)) * Fraction(len(numbers), height)
        column = (x + Fraction(1, 2)) * Fraction(len(numbers[0]), width)
        found[y, x] = numbers[floor(row), floor(column)]
    return found


@pytest.mark.parametrize("split", ["train", "test"])
def test_boxes_and_masks_are_the_drawn_ones_at_the_stored_size(built, split):
    top, size, _ = built
    shards = Shards(top / "out/targets/boxes", split)
    assert shards.kind == "boxes" and len(shards) == IMAGES[0 if split == "train" else 2]
    rows = torch.randperm(len(shards), generator=torch.Generator().manual_seed(0))
    batch = Rows(shards, {name: {} for name in shards.columns}).read(rows)
    crowds = 0
    for place, row in enumerate(rows.tolist()):
        one = DRAWN[shards.ids[row]]
        height, width = one.scene.numbers.shape
        stored = stored_sides(width, height, size)
        assert max(stored) == size and batch["image"][place].shape == (*stored[::-1], 3)
        assert batch["sides"][place].tolist() == [*stored]
        assert batch["original_sides"][place].tolist() == [width, height]
        numbers = nearest(one.scene.numbers, *stored)
        things = [(s, each) for s, each in enumerate(one.scene.segments, 1) if each.thing]
        scale = stored[0] / width, stored[1] / height
        for name, column in batch.items():
            if name.startswith(("box", "mask", "keypoints")):
                assert len(column[place]) == len(things), name
        for at, (number, segment) in enumerate(things):
            mask = one.scene.numbers == number
            y, x = np.nonzero(mask)
            wanted = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) * (scale * 2)
            assert np.allclose(batch["boxes"][place][at], wanted, atol=1e-4)
            assert np.array_equal(batch["masks"][place][at], numbers == number)
            assert shards.names[batch["box_label"][place][at]] == segment.label
            assert batch["box_crowd"][place][at].item() == segment.crowd
            area = mask.sum() * scale[0] * scale[1]
            assert batch["box_area"][place][at].item() == pytest.approx(area)
            crowds += segment.crowd
    assert split == "test" or crowds > 1, "some of the drawn set are crowds"
    assert any(len(boxes) == 0 for boxes in batch["boxes"]), "and some images have no object"


def test_a_panoptic_map_is_the_drawn_one_at_the_stored_size(built):
    top, _, summary = built
    shards = Shards(top / "out/targets/maps", "val")
    names = ("panoptic", "panoptic_label", "panoptic_crowd", "panoptic_thing", "sides")
    found = {name: shards.read(range(len(shards)), name) for name in names}
    for row, key in enumerate(shards.ids):
        scene = DRAWN[key].scene
        stored = found["sides"][row].tolist()
        assert np.array_equal(found["panoptic"][row], nearest(scene.numbers, *stored))
        assert found["panoptic"][row].dtype == torch.int32
        labels = [shards.names[label] for label in found["panoptic_label"][row].tolist()]
        assert labels == [segment.label for segment in scene.segments]
        assert found["panoptic_crowd"][row].tolist() == [one.crowd for one in scene.segments]
        assert found["panoptic_thing"][row].tolist() == [one.thing for one in scene.segments]
    assert summary["images"]["targets/maps"] == {"train": 24, "val": 6, "test": 6}
    assert summary["images"]["targets/boxes"] == summary["images"]["targets/maps"]


def test_a_post_that_repeats_an_image_of_objects_is_dropped(built):
    top, _, summary = built
    pairs = pq.read_table(top / "out/duplicates.parquet").to_pylist()
    found = {(pair["id_a"], pair["store_b"], pair["kind"]) for pair in pairs}
    assert found == {("p8", "targets/boxes", "exact"), ("p9", "targets/boxes", "near")}
    assert summary["images"]["hashtags"]["train"] + summary["images"]["hashtags"].get("val", 0) == 8


def test_other_sets_are_what_they_are_without_it(built, tmp_path):
    """Squares, shards and cache of other kinds, byte for byte."""
    top, size, _ = built
    posts(tmp_path / "data")
    labels(tmp_path / "data")
    build_with(tmp_path / "data", tmp_path / "out", tmp_path / "cache", **OPTIONS, size=size)
    assert digest(tmp_path / "out/targets/pets") == digest(top / "out/targets/pets")
    few = []
    for where in (tmp_path, top):
        rows = Rows(Shards(where / "out/targets/pets", "train"), {"image": {}, "label": {}})
        few.append(few_per_class(rows, "label", 1, torch.Generator().manual_seed(0)))
    columns = [one.read(torch.arange(2)) for one in few]
    assert all(torch.equal(columns[0][name], columns[1][name]) for name in ("image", "label"))
    mine, both = ({*folder.iterdir()} for folder in (tmp_path / "cache", top / "cache"))
    assert {path.name for path in mine} < {path.name for path in both}
    assert all(digest(path) == digest(top / "cache" / path.name) for path in mine)
    again = build_with(top / "data", tmp_path / "again", top / "cache", **OPTIONS, size=size)
    assert digest(tmp_path / "again") == digest(top / "out") and again["images"]


def test_images_that_keep_their_aspect_are_no_squares(built):
    top, _, _ = built
    shards = Shards(top / "out/targets/boxes", "train")
    with pytest.raises(ValueError, match="keep their aspect, and are no tensor of one size"):
        shards.images([0])
    with pytest.raises(ValueError, match=r"has no column 'label', only image, boxes"):
        shards.read([0], "label")
    with pytest.raises(ValueError, match="counts images of a class, and box_label says many"):
        few_per_class(Rows(shards, {"box_label": {}}), "box_label", 1, torch.Generator())
    few = few_per_class(Rows(shards, {"box_label": {}}), "box_label", 0.5, torch.Generator())
    assert 1 <= len(few) == part_of(0.5, len(shards)) < len(shards)
    with pytest.raises(ValueError, match="are no squares of 32 px: leave the size to"):
        Rows(shards, {"image": {}}, size=32).read(torch.arange(2))


def rewritten(built, into: Path, column: str, values) -> Shards:
    """A copy of the shards with another list column."""
    source = built[0] / "out/targets/boxes"
    into.mkdir()
    for path in source.iterdir():
        if path.name != INDEX:
            (into / path.name).hardlink_to(path)
    table = pq.read_table(source / INDEX, partitioning=None)
    place = table.schema.get_field_index(column)
    lists = [values(row) for row in table[column].to_pylist()]
    changed = table.set_column(
        place, table.schema.field(place), pa.array(lists, table.schema.field(place).type)
    )
    pq.write_table(changed, into / INDEX)
    return Shards(into, "train")


@pytest.mark.parametrize(
    ("column", "values", "fault"),
    [
        ("masks", lambda row: [one[:-1] for one in row], "are damaged, mask 0: run lengths that"),
        ("masks", lambda row: [b"0" for _ in row], "damaged, mask 0: run lengths of 0 px, and not"),
        ("masks", lambda row: [b"" for _ in row], "has a box and no mask: read its boxes alone"),
        ("sides", lambda row: [row[1] + 1, row[0]], "are damaged, mask 0: run lengths of"),
        ("boxes", lambda row: row[1:], r"are damaged, \d+ numbers in its list boxes; restore it"),
    ],
    ids=["cut off", "short", "none", "another size", "boxes"],
)  # fmt: skip
def test_a_damaged_index_is_told(built, tmp_path, column, values, fault):
    shards = rewritten(built, tmp_path / "copy", column, values)
    read = {"sides": "masks"}.get(column, column)
    with pytest.raises(ValueError, match=fault):
        shards.read(range(len(shards)), read)
    image = shards.read([0], "image")
    assert len(image) == 1, "nothing else is lost"


def test_a_mask_that_is_not_known_is_empty_where_that_is_asked_for(built, tmp_path):
    shards = rewritten(
        built, tmp_path / "copy", "masks", lambda row: [b"", *row[1:]] if row else []
    )
    whole, rows = Shards(built[0] / "out/targets/boxes", "train"), range(len(shards))
    asked = {"masks": {"unknown": "empty"}, "masks_known": {}, "boxes": {}}
    batch = Rows(shards, asked).read(torch.tensor([*rows]))
    assert any(map(len, batch["boxes"]))
    for row, (masks, known) in enumerate(zip(batch["masks"], batch["masks_known"], strict=True)):
        [before] = whole.read([row], "masks")
        assert known.dtype == torch.bool and len(known) == len(masks) == len(batch["boxes"][row])
        assert known.tolist() == [False, *[True] * (len(known) - 1)][: len(known)]
        assert torch.equal(masks[1:], before[1:]) and not masks[:1].any()
    assert all(one.all() for one in whole.read(rows, "masks_known"))
    table = pq.read_table(shards.folder / INDEX, partitioning=None)
    about = json.loads(table.schema.metadata[b"tagdag"])
    del about["columns"]["masks_known"]
    old = table.replace_schema_metadata({"tagdag": json.dumps(about)})
    pq.write_table(old, shards.folder / INDEX)
    again = Shards(shards.folder, "train").read(rows, "masks_known")
    assert all(map(torch.equal, again, batch["masks_known"])), "an index that does not name it"
    with pytest.raises(ValueError, match="unknown is 'maybe', and must be refuse or empty"):
        shards.read([0], "masks", None, unknown="maybe")


def test_a_column_of_another_version_is_told(built, tmp_path):
    shards = rewritten(built, tmp_path / "copy", "boxes", lambda row: row)
    table = pq.read_table(shards.folder / INDEX, partitioning=None).drop_columns(["masks"])
    pq.write_table(table, shards.folder / INDEX)
    with pytest.raises(ValueError, match=r"index.parquet is damaged .*masks.*build it again"):
        shards.read([0], "masks")


def test_annotations_of_another_size_than_their_image_are_told(tmp_path):
    posts(tmp_path / "data")
    one = next(iter(DRAWN.values()))
    height, width = one.scene.numbers.shape
    scene = Scene(id="a", image="a.jpg", width=2 * width, height=2 * height, objects=[])
    write_store(tmp_path / "data/targets/odd", [(scene, one.scene.image)], kind="boxes")
    fault = f"1 images are not of the size .*'a': {width} x {height} px, not {2 * width} x"
    with pytest.raises(ValueError, match=fault):
        build_with(tmp_path / "data", tmp_path / "out", tmp_path / "cache", **OPTIONS)


def test_what_is_imported_are_the_records_that_are_drawn(built):
    for kind, name in (("boxes", "boxes"), ("panoptic", "maps")):
        found = {one.id: one for one in read_records(built[0] / "data/targets" / name, Scene)}
        drawn = {record.id: record for record, _ in object_records(0, IMAGES, 96, kind)}
        assert found.keys() == drawn.keys() == DRAWN.keys()
        for key, record in drawn.items():
            assert found[key].model_copy(update={"image": record.image}) == record


def test_a_drawn_store_gives_the_shards_of_the_imported_one(tmp_path, built):
    top, size, _ = built
    posts(tmp_path / "data")
    draw_objects(tmp_path / "data/targets/boxes", "boxes", IMAGES)
    build_with(tmp_path / "data", tmp_path / "out", tmp_path / "cache", **OPTIONS, size=size)
    both = [Shards(where / "out/targets/boxes", "val") for where in (top, tmp_path)]
    keys = sorted(both[0].ids)
    for name in both[0].columns:
        rows = [[*map([*one.ids].index, keys)] for one in both]
        columns = [one.read(row, name) for one, row in zip(both, rows, strict=True)]
        assert all(map(torch.equal, *columns)), name
