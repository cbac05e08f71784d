"""A stored set as Pascal VOC's: Annotations/*.xml and ImageSets/Main/<split>.txt.

The format has no place for masks, keypoints and numbers of classes, which are counted; crowds are
left out. Pixels count from 1 and the last is included: xmax = x + width.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from corpus.export.stored import SPLITS, Export, FlatNames, Stored
from corpus.records.objects import Scene, Thing


def write_voc(stored: Stored, out: Path) -> Export:
    """The folder `out`."""
    (out / "Annotations").mkdir(parents=True)
    (out / "ImageSets" / "Main").mkdir(parents=True)
    names, objects = FlatNames(), 0
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    for scene in stored:
        name = names.of(scene)
        lists[scene.split].append(name)
        things = [thing for thing in scene.objects if _fits(stored, thing)]
        tree = ElementTree(_scene(scene, f"{name}{_ending(scene)}", things))
        indent(tree)
        tree.write(out / "Annotations" / f"{name}.xml", encoding="utf-8")
        objects += len(things)
    for split, stems in lists.items():
        text = "".join(f"{stem}\n" for stem in sorted(stems))
        (out / "ImageSets" / "Main" / f"{split}.txt").write_text(text, encoding="utf-8")
    images = sum(map(len, lists.values()))
    return Export(images, objects, images + len(SPLITS), stored.told())


def _ending(scene: Scene) -> str:
    return Path(scene.image).suffix


def _fits(stored: Stored, thing: Thing) -> bool:
    """Whether it can be written; counts what of it is lost."""
    if thing.crowd:
        stored.left["crowd"] += 1
        return False
    if thing.rle or thing.polygons:
        stored.left["mask (its box is)"] += 1
    if thing.keypoints:
        stored.left["keypoints (its box is)"] += 1
    return True


def _scene(scene: Scene, file: str, things: list[Thing]) -> Element:
    root = Element("annotation")
    _text(root, "folder", "JPEGImages")
    _text(root, "filename", file)
    size = SubElement(root, "size")
    for name, value in (("width", scene.width), ("height", scene.height), ("depth", 3)):
        _text(size, name, str(value))
    for thing in things:
        one = SubElement(root, "object")
        _text(one, "name", thing.label)
        _text(one, "truncated", str(int(thing.truncated)))
        _text(one, "difficult", str(int(thing.difficult)))
        box = SubElement(one, "bndbox")
        x, y, width, height = thing.box
        edges = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
        for name, value in edges.items():
            _text(box, name, f"{round(value, 10):.10f}".rstrip("0").rstrip("."))
    return root


def _text(above: Element, name: str, text: str) -> None:
    SubElement(above, name).text = text
