"""Every file of metrics/ keeps the contract (metrics/blocks/metric.py), on tensors and on files."""

import json
import math
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from engine.core.build import build, choices, plugin
from metrics.cli.command import main
from metrics.cli.drawing import draw
from tests.metrics.batches import drawn, example, names_of, part

TOP = Path(__file__).parents[2]
NAMES = choices("metrics")
WHOLE = drawn()
SPLITS = (slice(0, 7), slice(7, 8), slice(8, 60))
SCORES = ("scores", "probabilities")


def made(name: str):
    return build("metrics", {"name": name})


def fed(name: str, *batches: dict):
    """A metric after these batches, of predictions and targets alike."""
    return paired(name, *((batch, batch) for batch in batches))


def paired(name: str, *pairs: tuple[dict, dict]):
    """A metric after these predictions and targets."""
    metric = made(name)
    for predictions, targets in pairs:
        metric.update(predictions, targets)
    return metric


def parts(name: str, rows: slice | torch.Tensor) -> tuple[dict, dict]:
    """Some of the samples that a metric reads."""
    given, true = example(name)
    return part(given, rows), part(true, rows)


def readable(name: str) -> list[list[str]]:
    """The columns that a metric may read: of predictions, of targets."""
    reads = made(name).reads
    return names_of((*reads.predictions, *reads.targets))


# a row of scores for each sample, and one target: what differs from them has tests of its own
SCORED = [name for name in NAMES if made(name).reads.predictions[0] in SCORES]


def targets_only(name: str) -> dict:
    """The whole without the columns of the predictions that the metric reads."""
    mine = readable(name)[0]
    return {key: column for key, column in WHOLE.items() if key not in mine}


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name):
    metric = made(name)
    assert isinstance(metric.headline, str) and metric.higher in (True, False)
    assert isinstance(metric.unit, str)
    assert metric.reads.predictions and metric.reads.targets
    assert plugin("metrics", name, "metrics").__doc__


@pytest.mark.parametrize("name", NAMES)
def test_numbers_have_names_and_the_headline_lies_in_its_interval(name):
    numbers = paired(name, example(name)).compute()
    headline = made(name).headline
    assert all(isinstance(key, str) and math.isfinite(value) for key, value in numbers.items())
    assert numbers["samples"] == 60
    ends = [numbers[key] for key in (f"{headline}_low", f"{headline}_high") if key in numbers]
    assert len(ends) in (0, 2)
    if ends:
        assert ends[0] < numbers[headline] < ends[1]


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up_also_between_processes(name):
    first, *others = (paired(name, parts(name, rows)) for rows in SPLITS)
    for other in others:
        # as workers send it
        first.merge(pickle.loads(pickle.dumps(other)))
    whole = paired(name, example(name))
    updates = paired(name, *(parts(name, rows) for rows in SPLITS))
    assert first.compute() == whole.compute() == updates.compute()
    if whole.each() is not None:
        assert torch.equal(first.each(), whole.each())
    empty = made(name)
    empty.merge(whole)
    whole.merge(made(name))
    assert empty.compute() == whole.compute() == first.compute()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_samples_changes_no_headline(name):
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    headline = made(name).headline
    found = paired(name, parts(name, shuffled)).compute()[headline]
    assert found == pytest.approx(paired(name, example(name)).compute()[headline], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_over_samples_is_the_headline_where_it_is_one(name):
    metric = paired(name, example(name))
    each = metric.each()
    if each is not None:
        assert each.shape == (60,) and each.dtype == torch.float64
        assert each.mean().item() == pytest.approx(metric.compute()[metric.headline])


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(made(name), "resampled")])
def test_resamples_spread_as_the_interval_does_and_are_pairs(name):
    metric, headline = paired(name, example(name)), made(name).headline
    values, numbers = metric.resampled(), metric.compute()
    assert values.dtype == torch.float64 and metric.each() is None
    assert values.nanmean().item() == pytest.approx(numbers[headline])
    wide = np.diff(np.nanquantile(values.numpy(), [0.025, 0.975]))
    assert numbers[f"{headline}_high"] - numbers[f"{headline}_low"] == pytest.approx(wide, rel=0.2)
    # another model of the same samples that is as good: the same resamples leave no difference
    assert torch.equal(paired(name, example(name)).resampled(), values)


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(made(name), "rows")])
def test_details_are_rows_of_numbers(name):
    rows = paired(name, example(name)).rows()
    assert rows and all(row.keys() == rows[0].keys() for row in rows)
    assert all(isinstance(value, int | float) for row in rows for value in row.values())
    json.dumps(rows)


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(made(name), "picture")])
def test_a_picture_is_drawn(name, tmp_path):
    # one in two formats is enough
    for ending in ("png", "svg") if name == "coco_ap" else ("png",):
        draw(paired(name, example(name)).picture(), tmp_path / f"a.{ending}", {0: "$x_1 & <b>"})
        assert (tmp_path / f"a.{ending}").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"a name that ends in \.png or \.svg"):
        draw(paired(name, example(name)).picture(), tmp_path / "a.txt", {})


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_is_enough_and_none_is_told(name):
    assert paired(name, parts(name, slice(0, 1))).compute()["samples"] == 1
    for metric in (made(name), paired(name, parts(name, slice(0, 0)))):
        with pytest.raises(ValueError, match="no samples: the data set is empty"):
            metric.compute()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_column_is_told_with_those_that_there_are(name):
    given, true = example(name)
    (asked, *_), answers = readable(name), names_of(made(name).reads.targets)
    with pytest.raises(ValueError, match=rf"reads {asked[0]}.*columns of the predictions: label"):
        made(name).update({"label": WHOLE["label"]}, true)
    with pytest.raises(ValueError, match=rf"reads .*{answers[0][0]}.*of the targets: other"):
        made(name).update(given, {"other": WHOLE["label"]})


@pytest.mark.parametrize("name", SCORED)
def test_samples_of_an_unknown_target_are_not_counted(name):
    known = torch.arange(60) % 4 > 0
    given = dict(WHOLE)
    for column in readable(name)[1]:
        # what stands there does not matter
        given[column] = torch.where(
            known.view(-1, *[1] * (WHOLE[column].ndim - 1)), WHOLE[column], 0
        )
        given[f"{column}_known"] = known
    metric, without = fed(name, given), fed(name, part(WHOLE, known))
    assert metric.compute() == without.compute()
    if metric.each() is not None:
        assert metric.each().isnan().tolist() == (~known).tolist()
        assert torch.equal(metric.each()[known], without.each())


@pytest.mark.parametrize("name", SCORED)
def test_a_set_of_which_no_target_is_known_is_told(name):
    nothing = {f"{column}_known": torch.zeros(60, dtype=torch.bool) for column in readable(name)[1]}
    with pytest.raises(ValueError, match="none of 60 samples is known: give"):
        fed(name, WHOLE | nothing).compute()


@pytest.mark.parametrize("name", SCORED)
def test_what_is_no_number_is_told(name):
    column = readable(name)[0][0]
    broken = WHOLE[column].clone()
    broken[[4, 8], 2] = torch.nan
    with pytest.raises(ValueError, match=r"2 of 60 samples .* NaN \(rows 4, 8\); .*measure"):
        fed(name, WHOLE | {column: broken}).compute()


@pytest.mark.parametrize("name", SCORED)
def test_other_shapes_are_told(name):
    (given, *_), (true, *_) = readable(name)[:2]
    metric = made(name)
    with pytest.raises(ValueError, match=r"give classes \(60,\)"):
        metric.update(WHOLE, {true: WHOLE[true][:9]})
    with pytest.raises(ValueError, match=r"shape \(60,\)"):
        metric.update({given: WHOLE["label"].float()}, WHOLE)


@pytest.mark.parametrize("name", SCORED)
def test_an_update_never_waits_for_the_device(name):
    # on this device there are no values: whoever asks for one gets an error
    fed(name, {column: values.to("meta") for column, values in WHOLE.items()})


def asked(monkeypatch, capsys, name: str, *arguments) -> tuple[int, str]:
    """Exit status of the metric's command, and what it printed."""
    monkeypatch.setattr(sys, "argv", [f"metrics.{name}", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main(plugin("metrics", name, "metrics"))
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out + printed.err


def write(file: Path, columns: dict, order: torch.Tensor) -> Path:
    """A Parquet file of these columns, in this order."""
    table = {name: list(column[order].numpy()) for name, column in columns.items()}
    pq.write_table(pa.table({"id": [f"i{row}" for row in order.tolist()], **table}), file)
    return file


@pytest.mark.parametrize("name", SCORED)
def test_files_give_the_numbers_of_tensors(name, tmp_path, monkeypatch, capsys):
    (given, *_), (true, *_) = readable(name)[:2]
    expected = fed(name, WHOLE).compute()
    for column in (given, true):
        np.save(tmp_path / f"{column}.npy", WHOLE[column].numpy())
    order = torch.randperm(60, generator=torch.Generator().manual_seed(5))
    files = {
        "arrays": (tmp_path / f"{given}.npy", tmp_path / f"{true}.npy"),
        "tables": (
            write(tmp_path / "predictions.parquet", {given: WHOLE[given]}, torch.arange(60)),
            write(tmp_path / "targets.parquet", targets_only(name), order),
        ),
        "both in one": (write(tmp_path / "both.parquet", WHOLE, torch.arange(60)),),
    }
    for kind, paths in files.items():
        code, printed = asked(monkeypatch, capsys, name, *paths, "--json")
        assert code == 0, printed
        found = json.loads(printed)
        found.pop("rows", None)
        assert found == expected, kind


TOY = '''"""Mean score of the true class."""

import torch
from torch import Tensor

from metrics.blocks.columns import read_scores
from metrics.blocks.metric import Reads
from metrics.blocks.seen import Seen

__all__ = ["ToyMetric"]


class ToyMetric:
    """How high the true class is scored, on the average.

    scale: A factor.
    """

    headline, higher, unit = "toy", True, ""
    reads = Reads(("scores",), ("label",))

    def __init__(self, scale: float = 1.0) -> None:
        self.scale, self._seen = scale, Seen()

    def update(self, predictions, targets) -> None:
        found = read_scores(predictions, targets, self.reads)
        place = found.target.clamp(0, found.scores.shape[1] - 1)[:, None]
        self._seen.add(found, found.scores.gather(1, place)[:, 0].double())

    def merge(self, other: "ToyMetric") -> None:
        self._seen.merge(other._seen)

    def compute(self) -> dict[str, float]:
        (values,) = self._seen.counted()
        return {"toy": self.scale * values.mean().item(), "samples": len(values)}

    def each(self) -> Tensor:
        known, values = self._seen.joined()
        return (self.scale * values).where(known, torch.nan)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(ToyMetric)
'''


BUILT = """
import torch
from engine.core.build import build, choices
assert "toy_metric" in choices("metrics")
metric = build("metrics", {"name": "toy_metric", "scale": 3})
metric.update({"scores": torch.eye(4)}, {"label": torch.arange(4)})
print(metric.compute())
"""


def test_a_metric_is_one_file_known_by_its_name(tmp_path):
    """That such a file passes the tests above, tests/docs/test_examples.py tells."""
    for room in ("metrics", "engine"):
        left = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TOP / room, tmp_path / room, ignore=left)
    (tmp_path / "metrics" / "toy_metric.py").write_text(TOY)
    file = write(tmp_path / "both.parquet", WHOLE, torch.arange(60))

    def ran(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    printed = json.loads(ran("-m", "metrics.toy_metric", str(file), "--scale", "2", "--json"))
    true = WHOLE["scores"].gather(1, WHOLE["label"][:, None]).double()
    assert printed == {"toy": pytest.approx(2 * true.mean().item()), "samples": 60}
    assert ran("-c", BUILT) == "{'toy': 3.0, 'samples': 4}\n"
