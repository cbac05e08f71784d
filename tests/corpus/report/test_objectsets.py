"""What the report tells of sets of objects, and draws of them."""

import re

import pytest

from corpus.drawn.objects import draw_images, object_records
from corpus.records.objects import Scene, Thing
from corpus.report.objectsets import DRAWN, object_set
from corpus.store.write import write_store
from tests.corpus.test_objects import OPTIONS, posts
from tests.support.corpora import build_with

IMAGES = (12, 4, 0)
PICTURE = re.compile(r"<figure><svg[^>]*><image.*?</figure>", re.DOTALL)
NAME = "<script>alert('a')</script> & \"dog\""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    top = tmp_path_factory.mktemp("report")
    posts(top / "data")
    write_store(
        top / "data/targets/maps", object_records(0, IMAGES, 96, "panoptic"), kind="panoptic"
    )
    records = []
    for i, (scene, image) in enumerate(object_records(0, IMAGES, 96, "boxes")):
        box = 1, 2, 30.5, 4
        more = [Thing(id=j, label=NAME, box=box, area=122) for j in range(10 + 60 * (i == 0))]
        records.append((scene.model_copy(update={"objects": [*scene.objects, *more]}), image))
    write_store(top / "data/targets/odd", records, kind="boxes")
    build_with(top / "data", top / "out", top / "cache", **OPTIONS, size=48, test_share=0)
    return top / "out"


def test_the_numbers_are_those_of_the_drawn_scenes(built):
    one = object_set("targets/maps", built / "targets/maps")
    drawn = list(draw_images(0, IMAGES, 96))
    segments = [each.scene.segments for each in drawn]
    assert one.images.tolist() == [*IMAGES] and one.bare.tolist() == [0, 0, 0]
    assert one.counts.sum(0).tolist() == [
        sum(map(len, segments[:12])),
        sum(map(len, segments[12:])),
        0,
    ]
    sky = one.names.index("sky")
    assert one.counts[sky].tolist() == [12, 4, 0]
    crowds = [0, 0, 0]
    for place, each in enumerate(segments):
        crowds[place >= 12] += sum(one.crowd for one in each)
    assert one.crowd.tolist() == crowds
    assert (one.per_image > 0).sum() == len({len(each) for each in segments})
    areas = [(each.scene.numbers == s + 1).sum() for each in drawn for s in range(len(each.ids))]
    small = sum(area < 32**2 for area in areas)
    assert one.sizes.tolist() == [small, len(areas) - small, 0], "px of the original images"


def test_images_are_drawn_with_what_lies_in_them_and_names_are_escaped(built):
    page = (built / "report.html").read_text()
    part = page[page.index("Labelled sets of objects</h2>") :]
    odd, maps = part[part.index("targets/odd: ") :], part[part.index("targets/maps: ") :]
    maps = maps[: maps.index("targets/odd: ")]
    assert "<script" not in page and "&lt;script&gt;alert" in odd
    figures = PICTURE.findall(maps)
    assert len(figures) == 6 and all("data:image/jpeg;base64," in one for one in figures)
    assert all("<rect" not in one and ">sky</text>" in one for one in figures)
    figures = PICTURE.findall(odd)[:6]
    assert min(one.count("<rect") for one in figures) >= 10
    assert max(one.count("<rect") for one in figures) == DRAWN, "and no more of one image"
    assert " more</figcaption>" in figures[0] and 'stroke-dasharray="' in part


def test_a_set_without_masks_or_without_objects_has_its_part(tmp_path):
    posts(tmp_path / "data")
    [(scene, image), (other, second)] = object_records(0, (2, 0, 0), 96, "boxes")
    thing = Thing(id=1, label="dog", box=(0, 0, 9, 9), area=81)
    bare = [
        (Scene(**scene.model_dump(exclude={"objects"}), objects=[thing]), image),
        (Scene(**other.model_dump(exclude={"objects"}), objects=[]), second),
    ]
    write_store(tmp_path / "data/targets/bare", bare, kind="boxes")
    build_with(tmp_path / "data", tmp_path / "out", tmp_path / "cache", **OPTIONS, val_share=0)
    one = object_set("targets/bare", tmp_path / "out/targets/bare")
    assert one.images.sum() == 2 and one.bare.sum() == 1 and one.sizes.tolist() == [1, 0, 0]
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("<rect") >= 1 and "images of no object" in page
    assert 'id="object_sets"' in page, "the section can be linked to"


def test_a_set_without_an_image_that_can_be_used_is_told(tmp_path):
    posts(tmp_path / "data")
    records = [(scene, b"bad") for scene, _ in object_records(0, (3, 0, 0), 96, "boxes")]
    write_store(tmp_path / "data/targets/bad", records, kind="boxes")
    built = build_with(tmp_path / "data", tmp_path / "out", tmp_path / "cache", **OPTIONS)
    assert built["bad_images"] == 3 and built["images"]["targets/bad"] == {}
    assert "No image can be used." in (tmp_path / "out/report.html").read_text()
