"""Two files of predictions on one truth: the difference, its paired interval, what differs most."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.tools.compare_predictions import main
from flows.tools.predictioncomparison import metric_section

SAMPLES, CLASSES = 200, 5


def table(file: Path, ids: list[str], **columns) -> Path:
    pq.write_table(pa.table({"id": ids} | columns), file)
    return file


@pytest.fixture
def files(tmp_path):
    """(A, B, truth): B raises the true class's score more, and names the samples in reverse."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, SAMPLES)
    ids = [f"<b>{row}" for row in range(SAMPLES)]
    true = table(tmp_path / "truth.parquet", ids, label=label)
    noise = rng.normal(size=(SAMPLES, CLASSES)).astype("f4")
    given = []
    for name, gain, order in (("a", 0.5, 1), ("b", 1.5, -1)):
        scores = noise.copy()
        scores[np.arange(SAMPLES), label] += gain
        given.append(table(tmp_path / f"{name}.parquet", ids[::order], scores=[*scores[::order]]))
    return *given, true


def compared(capsys, *arguments) -> tuple[dict, str, str]:
    """(numbers, page, what was printed)."""
    out = Path(arguments[0]).with_name("page.html")
    main([*map(str, arguments), "--out", str(out)])
    numbers = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    return numbers, out.read_text(encoding="utf-8"), capsys.readouterr().out


@pytest.mark.parametrize("metric", ["accuracy", "{name: mean_ap, resamples: 300}", "confusion"])
def test_the_better_one_is_told_with_a_paired_interval(files, capsys, metric):
    found, page, printed = compared(capsys, *files, "--metric", metric)
    assert 0 < found["low"] < found["gain"] < found["high"]
    one = found["headline"]["name"]
    apart = found["numbers"][1][one] - found["numbers"][0][one]
    assert abs(found["gain"]) == pytest.approx(abs(apart))
    assert "b is better by" in printed and "paired by sample" in printed
    # what is hard for both widens each interval, and not that of the difference
    alone = [numbers[f"{one}_high"] - numbers[f"{one}_low"] for numbers in found["numbers"]]
    assert found["high"] - found["low"] < np.hypot(*alone)
    sizes = [abs(each["first"] - each["second"]) for each in found["differing"]]
    assert sizes == sorted(sizes, reverse=True) and all(sizes)
    # a sample alone ranks its classes, and has no other to rank its class among
    assert len(sizes) == (0 if "mean_ap" in metric else 12)
    assert ("&lt;b&gt;" in page) == bool(sizes) and "<b>" not in page


def test_a_file_compared_with_itself_differs_nowhere(files, capsys):
    found, _, printed = compared(capsys, files[0], files[0], files[2], "--metric", "accuracy")
    assert found["low"] < found["gain"] == 0 < found["high"] and not found["differing"]
    assert "which is better is not told" in printed


def test_what_cannot_be_compared_is_told(files, capsys):
    first, second, truth = files
    short = table(first.with_name("c.parquet"), ["x"], scores=[np.zeros(CLASSES, "f4")])
    for arguments, message in (
        ([first, second.with_name("none"), truth, "--metric", "accuracy"], "none is not there"),
        ([first, second, truth, "--metric", "acuracy"], "unknown name 'acuracy'"),
        ([first, second, truth, "--metric", "[1]"], "give a metric's name, or a section"),
        ([first, short, truth, "--metric", "accuracy"], "1 of 1 predictions have no target"),
        ([first, second, truth, "--metric", "accuracy", "--names", "a,a"], "two names that differ"),
        ([first, second, truth, "--metric", "accuracy", "--images", "none"], "is no folder"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--out", str(first.with_name("p.html"))])
        assert ended.value.code == 2 and message in capsys.readouterr().err


def test_a_section_or_a_name_is_a_metric():
    assert metric_section("wer") == {"name": "wer"}
    assert metric_section("{name: coco_ap, of: masks}") == {"name": "coco_ap", "of": "masks"}


def test_details_over_distances_are_those_of_the_same_distance(tmp_path):
    """A row per distance of event boundaries, each beside its own."""
    known = {"f1_consis_avg": 1.0, "video_duration": 10.0, "substages_timestamps": [[2.0, 5.0]]}
    answers = {"a": [2.2, 9.0], "b": [2.6, 5.1], "truth": known}
    for name, answer in answers.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"v": answer}))
    paths = [str(tmp_path / f"{name}.json") for name in answers]
    main([*paths, "--metric", "gebd_f1", "--out", str(tmp_path / "page.html")])
    details = json.loads((tmp_path / "page.json").read_text())["details"]
    distances = [(one["distance"], other["distance"]) for one, other in details]
    assert distances[:2] == [(0.05, 0.05), (0.1, 0.1)] and len(distances) == 10
    assert [(one["f1"], other["f1"]) for one, other in details][:2] == [(50, 50), (50, 100)]
