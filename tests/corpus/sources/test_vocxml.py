"""Pascal VOC's folder as a source: pixels from 1 to COCO's boxes, splits of its lists, faults."""

from pathlib import Path

import pytest

from corpus.records.objects import Thing
from tests.support.annotated import HEIGHT, WIDTH, imported, reasons, save_image, stored

SIZE = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
PART = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"


def boxed(edges: tuple = (1, 1, 1, 1), name: str = "dog", more: str = "") -> str:
    """An object."""
    names = ("xmin", "ymin", "xmax", "ymax")
    text = "".join(f"<{key}>{edge}</{key}>" for key, edge in zip(names, edges, strict=True))
    return f"<object><name>{name}</name>{PART}{more}<bndbox>{text}</bndbox></object>"


def written(root: Path, files: dict[str, str], size: str = SIZE, head: str = "") -> Path:
    """A folder of VOC: an image and an XML of these objects for each."""
    (root / "Annotations").mkdir(parents=True)
    for name, objects in files.items():
        save_image(root / f"JPEGImages/{name}.jpg")
        text = f"{head}<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
        (root / f"Annotations/{name}.xml").write_text(text)
    return root


def test_boxes_count_from_1_and_include_their_last_pixel(tmp_path):
    flags = "<truncated>1</truncated><difficult>1</difficult><pose>Left</pose>"
    objects = boxed() + boxed((3, 4, WIDTH, HEIGHT), "cat", flags) + boxed((1.5, 1, 2.25, 9))
    root = written(tmp_path / "in", {"a": objects, "b": ""})
    result = imported(root, tmp_path / "data")
    assert (result.kept, result.refused, result.classes) == (2, {}, 2)
    found = stored(tmp_path / "data")
    assert found["b.jpg"].objects == []
    one, two, three = found["a.jpg"].objects
    assert one == Thing(id=1, label="dog", box=(0, 0, 1, 1), area=1)
    assert two.box == (2, 3, WIDTH - 2, HEIGHT - 3) and (two.difficult, two.truncated) == (1, 1)
    assert three.box == (0.5, 0, 1.75, 9) and three.id == 3


def test_splits_are_those_of_the_lists(tmp_path):
    root = written(tmp_path / "in", dict.fromkeys("abcde", boxed()))
    lists = root / "ImageSets/Main"
    lists.mkdir(parents=True)
    for split, names in {"train": "a\nd", "val": "b 1\n", "test": "c\nd\n", "dog_val": "e"}.items():
        (lists / f"{split}.txt").write_text(names)
    result = imported(root, tmp_path / "data")
    found = {key: scene.split for key, scene in stored(tmp_path / "data").items()}
    assert found == {"a.jpg": "train", "b.jpg": "val", "c.jpg": "test"}
    assert result.refused == {"contradiction": 1}
    plain = tmp_path / "plain"  # XMLs beside images, in folders of splits
    for split in ("train", "valid", "test"):
        save_image(plain / split / "1.jpg")
        text = (root / "Annotations/a.xml").read_text().replace("a.jpg", "1.jpg")
        (plain / split / "1.xml").write_text(text)
    assert imported(plain, tmp_path / "data", name="other").refused == {}
    found = {key: scene.split for key, scene in stored(tmp_path / "data", "other").items()}
    assert found == {"train/1.jpg": "train", "valid/1.jpg": "val", "test/1.jpg": "test"}


def test_an_xml_without_a_size_is_of_its_image_and_without_a_name_of_its_own(tmp_path):
    root = written(tmp_path / "in", {"a": boxed()}, "<size><width>0</width></size>")
    text = (root / "Annotations/a.xml").read_text().replace("a.jpg", "C:/other.jpg")
    (root / "Annotations/a.xml").write_text(text)
    assert imported(root, tmp_path / "data").refused == {}
    scene = stored(tmp_path / "data")["a.jpg"]
    assert (scene.width, scene.height) == (WIDTH, HEIGHT)


OBJECTS = {
    "outside": (boxed((WIDTH + 1, 1, WIDTH + 4, 4)), "object outside the image"),
    "no area": (boxed((5, 5, 4, 9)), "object without area"),
    "text": (boxed(("a", 5, 4, 9)), "object whose box is no list of numbers"),
    "NaN": (boxed(("nan", 5, 4, 9)), "object whose box has a number that is not finite"),
    "no name": (boxed(name=" "), "object without a class"),
    "no box": ("<object><name>dog</name></object>", "object without a box"),
}


@pytest.mark.parametrize(("fault", "why"), OBJECTS.values(), ids=OBJECTS)
def test_a_fault_of_an_object_costs_that_object_alone(tmp_path, fault, why):
    root = written(tmp_path / "in", {"a": boxed() + fault + boxed()})
    assert imported(root, tmp_path / "data").kept == 1
    assert [thing.id for thing in stored(tmp_path / "data")["a.jpg"].objects] == [1, 3]
    [(where, reason)] = reasons(tmp_path / "data")
    assert where == "a.xml object 2" and reason.startswith(why)


FILES = {
    "cut": (lambda text: text[: len(text) // 2], "no XML, or cut off"),
    "empty": (lambda text: "", "no XML, or cut off"),
    "doctype": (lambda text: f'<!DOCTYPE a [<!ENTITY e "e">]>{text}', "XML with a DOCTYPE"),
    "doctype, UTF-16": (
        lambda text: f"<!DOCTYPE a>{text}".encode("utf-16"),
        "XML with a DOCTYPE, which may declare entities: take it out",
    ),
    "size": (lambda text: text.replace(f">{WIDTH}<", ">41<"), "image of another size"),
    "no image": (lambda text: text.replace(f">{WIDTH}<", ">1.5<"), "no size of an image"),
}


@pytest.mark.parametrize(("spoilt", "why"), FILES.values(), ids=FILES)
def test_a_fault_of_a_file_costs_that_image_alone(tmp_path, spoilt, why):
    root = written(tmp_path / "in", {"a": boxed(), "b": boxed()})
    text = spoilt((root / "Annotations/a.xml").read_text())
    data = text if isinstance(text, bytes) else text.encode()
    (root / "Annotations/a.xml").write_bytes(data)
    imported(root, tmp_path / "data")
    assert [*stored(tmp_path / "data")] == ["b.jpg"]
    assert reasons(tmp_path / "data")[0][1].startswith(why)


def test_an_image_that_is_not_there_is_told(tmp_path):
    root = written(tmp_path / "in", {"a": boxed(), "b": boxed()})
    (root / "JPEGImages/a.jpg").unlink()
    imported(root, tmp_path / "data")
    assert reasons(tmp_path / "data") == [("a.xml", "file is missing")]


@pytest.mark.parametrize("images", [None, "images"])
def test_images_may_lie_beside_the_folder_of_annotations(tmp_path, images):
    root = written(tmp_path / "in", {"a": boxed()})
    (root / "Annotations").rename(root / "annotations")
    (root / "JPEGImages").rename(root / "images")
    result = imported(root, tmp_path / "data", images=images and str(root / images))
    assert (result.kept, result.refused) == (1, {})
