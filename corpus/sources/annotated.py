"""Sources of annotated objects: what a file or folder is, by its layout.

COCO's JSON, CVAT's XML, Cityscapes' folders, Pascal VOC's folder, YOLO's folder; None for all else,
as a table of objects.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from corpus.progress import Progress
from corpus.sources.cocojson import AnnotationFile, CocoReader
from corpus.sources.downloads import download
from corpus.sources.folders import below
from corpus.sources.panopticpng import PanopticReader
from corpus.sources.rows import SourceRow
from corpus.sources.splits import split_within
from corpus.sources.xmlelements import root_name

READERS = {"boxes": CocoReader, "panoptic": PanopticReader}
# of several sorts of files in one folder the first that is there is read
STEMS = {"boxes": ("instances", "lvis", "person_keypoints", "_annotations"), "panoptic": ("panop",)}
CVAT = "annotations"  # the outermost element of CVAT's XML; of VOC's it is `annotation`
NAMES = ("classes.txt", "data.yaml", "data.yml")  # of a YOLO folder's classes


def annotated_rows(
    source: str,
    images: str | None,
    kind: str,
    spool: Path,
    left: Counter[str],
    about: dict[str, Any],
    read: Callable[[str], bytes],
    progress: Progress | None = None,
) -> Iterator[SourceRow] | None:
    """The rows of annotated images; None where the source is no such file or folder.

    `about["categories"]` takes the classes with what the source says of them; `read` is
    corpus.sources.source.fetch.
    """
    if source.lower().endswith(".json") and not Path(source).is_dir():
        return _coco([_one(source, images, spool, progress)], kind, about, read, progress)
    root = Path(source)
    if kind == "boxes" and source.lower().endswith(".xml") and not root.is_dir():
        return _cvat([root], images, left, about)
    if not root.is_dir():
        return None
    if is_cityscapes(root):
        from corpus.sources.cityscapes import CityscapesReader

        return CityscapesReader(root, images, kind, left, about, read).rows()
    found = _files(root, images, kind, left)
    if found:
        return _coco(found, kind, about, read, progress)
    if kind == "panoptic":
        return None
    xmls = [name for name in below(root, Counter()) if name.lower().endswith(".xml")]
    if xmls and root_name(root / xmls[0]) == CVAT:
        return _cvat([root / name for name in xmls], images, left, about)
    if xmls:
        from corpus.sources.vocxml import voc_rows

        return voc_rows(root, images, left, read)
    if any((root / name).is_file() for name in NAMES) or (root / "labels").is_dir():
        from corpus.sources.yolotxt import yolo_rows

        return yolo_rows(root, images, left, about, read)
    return None


def is_cityscapes(root: Path) -> bool:
    """Whether a folder is laid out as Cityscapes is."""
    return (root / "gtFine").is_dir()


def _cvat(
    files: list[Path], images: str | None, left: Counter[str], about: dict[str, Any]
) -> Iterator[SourceRow]:
    """ValueError for a file that is another XML."""
    from corpus.sources.cvatxml import CvatReader

    for file in files:
        found = root_name(file)
        if found != CVAT:
            is_voc = found == "annotation"
            what = (
                "an XML of Pascal VOC, of one image: name the folder of them"
                if is_voc
                else (f"no XML of CVAT, whose outermost element is <{CVAT}>")
            )
            raise ValueError(f"{file} is {what}")
    return CvatReader(files, images, left, about).rows()


def _coco(
    files: list[AnnotationFile],
    kind: str,
    about: dict[str, Any],
    read: Callable[[str], bytes],
    progress: Progress | None,
) -> Iterator[SourceRow]:
    for file in files:
        if progress:
            progress(0, None, f"{file.name}: looking for its annotations")
        reader = READERS[kind](file, about, read)
        try:
            yield from reader.rows()
        finally:
            reader.found.close()


def _one(source: str, images: str | None, spool: Path, progress: Progress | None) -> AnnotationFile:
    """A file that is named itself; images of one in annotations/ lie beside that folder."""
    url, name = source, PurePosixPath(source).name
    folder, maps = url.rpartition("/")[0] or ".", url[: -len(".json")]
    if url.startswith("s3://"):
        try:
            path = download(url, spool, progress)
        except FileNotFoundError:
            raise ValueError(f"annotation file {url} is not found; check its path") from None
        return AnnotationFile(path, name, images or folder, maps=maps)
    if images is None and Path(folder).name == "annotations":
        root = Path(folder).parent
        return AnnotationFile(Path(url), name, str(root), _prefix(root, name), maps=maps)
    return AnnotationFile(Path(url), name, images or folder, maps=maps)


def _files(root: Path, images: str | None, kind: str, left: Counter[str]) -> list[AnnotationFile]:
    """The files of annotations in a folder, one for each split."""
    found = []
    for name in below(root, Counter(), 1):
        if name.lower().endswith(".json"):
            found.append(name)
    for stem in STEMS[kind]:
        some = [name for name in found if PurePosixPath(name).name.startswith(stem)]
        if some:
            if len(found) > len(some):
                left["JSON beside the annotations"] += len(found) - len(some)
            return [_within(root, name, images) for name in some]
    return []


def _within(root: Path, name: str, images: str | None) -> AnnotationFile:
    """One of a folder's files; a file beside its images has them below its own folder."""
    path, base = root / name, images or str(root)
    folder = str(PurePosixPath(name).parent)
    if folder not in (".", "annotations") and images is None:
        prefix = f"{folder}/"
    else:
        prefix = _prefix(base, PurePosixPath(name).name)
    split = split_within(name.split("/"))
    return AnnotationFile(path, name, base, prefix, split, str(path)[: -len(".json")])


def _prefix(base: str | Path, name: str) -> str:
    """Where below the images' folder those of instances_val2017.json lie: val2017/ and such."""
    tag = PurePosixPath(name).stem.rpartition("_")[2]
    if str(base).startswith("s3://"):
        return f"{tag}/" if split_within([tag]) else ""
    for place in (tag, f"images/{tag}", "images"):
        if (Path(base) / place).is_dir():
            return f"{place}/"
    return ""
