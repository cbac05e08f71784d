"""VOC's folders of results and annotations."""

from pathlib import Path

import pytest
import torch

from metrics.formats.voc import read
from metrics.voc_ap import VocAP

OBJECT = """<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>
<xmax>{}</xmax><ymax>{}</ymax></bndbox><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin>
<xmax>2</xmax><ymax>2</ymax></bndbox></part></object>"""
TRUTH = {
    "b": [("cat", 0, 1, 1, 10, 10), ("cat", 1, 21, 1, 30, 10)],
    "a": [("dog", 0, 1.5, 1, 10, 10)],
    "c": [],
}
RESULTS = {
    "cat": "b 0.9 1 1 10 10\nb .8 21 1 30 10\n\na 7e-1 1 1 10 10\n",
    "dog": "a 0.5 1.5 1 10 10\n",
}


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    results, truth = tmp_path / "results", tmp_path / "VOC"
    results.mkdir()
    (truth / "Annotations").mkdir(parents=True)
    for label, lines in RESULTS.items():
        (results / f"comp4_det_test_{label}.txt").write_text(lines)
    for image, objects in TRUTH.items():
        listed = "".join(OBJECT.format(*each) for each in objects)
        file = truth / "Annotations" / f"{image}.xml"
        file.write_text(f"<annotation><filename>x.jpg</filename>{listed}</annotation>")
    return results, truth


def test_images_and_classes_are_those_of_the_truth(folders):
    pair = read(*folders, VocAP.reads)
    assert (pair.samples, pair.names) == (["a", "b", "c"], ["cat", "dog"])
    assert [row.tolist() for row in pair.targets["box_label"]] == [[1], [0, 0], []]
    assert [row.tolist() for row in pair.targets["box_ignore"]] == [[False], [False, True], []]
    assert pair.targets["boxes"][0].tolist() == [[1.5, 1, 10, 10]]
    assert [row.tolist() for row in pair.predictions["box_score"]] == [[0.7, 0.5], [0.9, 0.8], []]
    assert pair.predictions["boxes"][2].shape == (0, 4)
    assert pair.predictions["boxes"][0].dtype == torch.float64
    metric = VocAP()
    metric.update(pair.predictions, pair.targets)
    assert metric.compute()["voc_ap"] == 100
    assert [row["given"] for row in metric.rows()] == [2, 1]


def test_the_set_of_the_results_chooses_the_images(folders):
    sets = folders[1] / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "test.txt").write_text("b\na\n")
    assert read(*folders, VocAP.reads).samples == ["b", "a"]
    (sets / "test.txt").write_text("b\n")
    with pytest.raises(
        ValueError, match=r"1 of 2 images of .*results are not in .*VOC \(a\).*--co"
    ):
        read(*folders, VocAP.reads)
    with pytest.raises(ValueError, match=r"1 of 2 classes .* \(dog\)"):
        (folders[0] / "comp4_det_test_cat.txt").write_text("b 0.9 1 1 10 10\n")
        (folders[0] / "comp4_det_test_dog.txt").write_text("b 0.9 1 1 10 10\n")
        read(*folders, VocAP.reads)
    pair = read(*folders, VocAP.reads, common=True)
    assert (pair.samples, pair.names) == (["b"], ["cat"])
    (sets / "test.txt").write_text("b\nb\n")
    with pytest.raises(ValueError, match=r"test\.txt has b more than once"):
        read(*folders, VocAP.reads)
    (sets / "test.txt").write_text("z\n")
    with pytest.raises(ValueError, match=r"images of .*test\.txt have no file in .*\(z\)"):
        read(*folders, VocAP.reads)


BILLION = '<!DOCTYPE a [<!ENTITY x "x"><!ENTITY y "&x;&x;&x;">]><annotation>&y;</annotation>'


@pytest.mark.parametrize(
    "written, message",
    [
        ("<annotation><object><name>cat</na", r"b\.xml is no whole XML: .*: is it cut off\?"),
        ("", r"b\.xml is no whole XML: no element found"),
        (BILLION, r"b\.xml has a DOCTYPE a, which annotations have not"),
        ("<annotation><object/></annotation>", r"b\.xml has an object without name or bndbox"),
        (OBJECT.format("cat", 0, "nan", 1, 2, 2), r"b\.xml 'nan' is no finite number"),
        (OBJECT.format("cat", 0, 9, 1, 2, 2), r"b\.xml has a cat whose box .* ends before it sta"),
        (OBJECT.format("cat", 0, "", 1, 2, 2), r"b\.xml None is no number|b\.xml '' is no number"),
    ],
)
def test_broken_annotations_are_told(folders, written, message):
    if written.startswith("<object"):
        written = f"<annotation>{written}</annotation>"
    (folders[1] / "Annotations" / "b.xml").write_text(written)
    with pytest.raises(ValueError, match=message):
        read(*folders, VocAP.reads)


@pytest.mark.parametrize(
    "line, message",
    [
        ("b 0.9 1 1 10", r"comp4_det_test_cat\.txt, line 2: 5 columns; give image, score, x1"),
        ("b nan 1 1 10 10", r"line 2: 'nan' is no finite number; give image, score"),
        ("b 0.9 1 1 10 x", r"line 2: 'x' is no number; give image, score"),
    ],
)
def test_broken_results_are_told(folders, line, message):
    (folders[0] / "comp4_det_test_cat.txt").write_text(f"b 0.9 1 1 10 10\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read(*folders, VocAP.reads)


def test_broken_folders_are_told(folders, tmp_path):
    (folders[0] / "comp4_det_test_cat.txt").write_bytes(b"b 0.9 1 1 10 10\n\xff\n")
    with pytest.raises(ValueError, match=r"cat\.txt, line 2: no UTF-8 \(byte 0xff\): save it"):
        read(*folders, VocAP.reads)
    (folders[0] / "comp3_det_test_cat.txt").write_text("")
    with pytest.raises(ValueError, match="has more than one file of cat: keep those of one model"):
        read(*folders, VocAP.reads)
    (folders[0] / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"has notes\.txt: give a folder of results alone"):
        read(*folders, VocAP.reads)
    with pytest.raises(ValueError, match=r"has no \.txt files: give a folder of results alone"):
        read(folders[1], folders[1], VocAP.reads)
    with pytest.raises(ValueError, match=r"has no Annotations/\*\.xml: give the folder"):
        (folders[0] / "notes.txt").unlink()
        (folders[0] / "comp3_det_test_cat.txt").unlink()
        read(folders[0], tmp_path, VocAP.reads)
