"""A plug-in of each kind, one file each, through the stages, and no other file of the code touched.

Those of docs/design.md: a backbone, a head that is fitted, an objective with two optimizers, a
policy, a metric; and a kind of data set, whose images have a sign. What their networks say of posts
becomes data of another task. A kill -9 in any of it changes no byte of the result.
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks.clone import overlaid, sampled
from benchmarks.services import bare_environment
from tests.docs.test_examples import EXAMPLES
from tests.flows.test_pipeline import clone, pipeline
from tests.support.commands import run
from tests.support.servers import wait_for

KIND = '''"""Images with a sign, + or -."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from corpus.records.kind import BaseKind
from corpus.records.record import Record, Split


class Sign(Record):
    """An image and its sign."""

    sign: Literal["+", "-"]
    split: Split = "train"


class Signed(BaseKind):
    """A sign for each image."""

    record = Sign
    what = "sign"
    columns = {"image": {"read": "jpeg"}, "label": {"read": "class", "of": "targets"}}
    needed = (("sign",),)
    wanted = frozenset({"sign"})
    fields = {"sign": pa.string()}
    least = 2

    def described(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {"sign": raw["sign"]}

    def words(self, record: Sign) -> tuple[str, ...]:
        return (record.sign,)

    def classes(self, table: pa.Table) -> pa.ListArray:
        ends = np.arange(len(table) + 1, dtype=np.int32)
        signs = table["sign"].combine_chunks().cast(pa.string())
        return pa.ListArray.from_arrays(pa.array(ends), signs)
'''
POLICY = '''"""Pseudo-labels; where a file `die` lies, a kill -9 at the second network."""

import os
import signal
from pathlib import Path


class Sudden:
    """(objective, batch, draws) -> {"label", "confidence"}, no targets."""

    def __call__(self, objective, batch, draws):
        if Path("die").exists() and any(Path(".tagdag/state").glob("materialise-*.parquet")):
            os.killpg(0, signal.SIGKILL)
        found = objective.predict(objective.test_views(batch, draws))["probabilities"].max(1)
        return {"label": found.indices, "confidence": found.values}, {}
'''
RECIPE = {"batch": 16, "rate": 0.1, "warmup": 0}
NETWORK = {"backbone": "patches", "section": "candidates/patches.yaml"}
PARAMS = {
    "candidates": {"tiny": NETWORK},
    "pretrain": {
        "tiny-apart": NETWORK
        | {
            "candidate": "tiny",
            "data": "targets/signs",
            "objective": {"name": "slowhead", "head_rate": 0.01},
            "head": {"name": "linear"},
            "metric": {"name": "reciprocal_rank"},
            "recipe": RECIPE,
            "epochs": 2,
        }
    },
    "tasks": {
        "signs": {
            "data": "targets/signs",
            "inits": ["tiny-apart", "scratch"],
            "heads": {"linear": {}, "means": {}},
            "labels": [8],
            "seeds": [0, 1],
            "objective": {"name": "supervised"},
            "metric": {"name": "reciprocal_rank"},
            "policy": {"name": "mirrored"},
            "recipe": RECIPE,
            "epochs": 2,
            "grid": {"rate": [0.1, 0.2], "scale": [1.0, 2.0]},
        }
    },
}


def signed_image(number: int) -> bytes:
    """Bright where the number is even, dark where it is odd, and noisy."""
    noise = np.random.default_rng(number).integers(0, 120, (32, 32, 3))
    out = io.BytesIO()
    Image.fromarray((noise + 120 * (number % 2 == 0)).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def add_signs(folder: Path) -> None:
    """Eighty images with their signs, as a table."""
    (folder / "signs").mkdir()
    with (folder / "signs" / "signs.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("image", "sign", "split"))
        for number in range(80):
            (folder / "signs" / f"{number}.png").write_bytes(signed_image(number))
            split = ("train", "train", "val", "test")[number // 2 % 4]
            table.writerow((f"{number}.png", "+-"[number % 2], split))
    source = ("--labels", "signs/signs.csv", "--kind", "signed", "--target", "signs")
    run(folder, "python", "-m", "flows.version", "add", *source)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A clone with the files in it, in which every stage has run."""
    made = clone(tmp_path_factory.mktemp("one file"), small=False)
    sampled(made, 80, (4, 2, 2))
    before = run(made, "git", "status", "--porcelain", "--", "*.py", "dvc.yaml")
    (made / "corpus/kinds/signed.py").write_text(KIND)
    (made / "models/policies/sudden.py").write_text(POLICY)
    for path, text in EXAMPLES.items():
        (made / path).write_text(text)
    (made / "candidates" / "patches.yaml").write_text("name: patches\n")
    params = yaml.safe_load((made / "params.yaml").read_text()) | PARAMS
    params["search"]["trials"] = 0
    params["corpus"] |= {"min_posts": 3, "holdout": 0.2}
    params["evaluate"] = {"runs": 3, "batches": [8], "seconds": 0.02}
    (made / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    add_signs(made)
    run(made, "python", "-m", "flows.pipeline", new=True)
    after = run(made, "git", "status", "--porcelain", "--", "*.py", "dvc.yaml").splitlines()
    # new files alone, and none of the code that was there
    assert not before and all(line.startswith("?? ") for line in after)
    return made


def test_every_plugin_takes_part(folder):
    training = json.loads((folder / "out/pretrain/tiny-apart/metrics.json").read_text())
    assert {"mrr", "mrr_low", "mrr_high"} <= training.keys()
    records = json.loads((folder / "out/evaluate/signs/records.json").read_text())
    assert {(one["init"], one["head"]["name"]) for one in records} == {
        (init, head) for init in ("scratch", "tiny-apart") for head in ("linear", "means")
    }
    for one in records:
        assert one["headline"] == "mrr" and one["policy"] == {"name": "mirrored"}
        assert one["low"] <= one["value"] <= one["high"] and one["samples"] == 20
    # bright or dark: a mean of features tells it
    assert max(one["value"] for one in records) > 90


def test_the_models_are_registered_and_reported_by_that_metric(folder):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    versions = client.search_model_versions("name = 'tagdag'")
    assert len(versions) == 4 and "champion" in client.get_registered_model("tagdag").aliases
    assert {version.tags["tagdag.headline"] for version in versions} == {"mrr"}
    report = (folder / "out/register/report.md").read_text()
    assert "mrr % (95 % interval)" in report and "fine-tuned" in report


def test_the_metric_is_a_command_on_the_files_that_the_stage_wrote(folder):
    file = "out/evaluate/signs/predictions.parquet"
    told = run(folder, "python", "-m", "metrics.reciprocal_rank", file, file, "--json")
    records = json.loads((folder / "out/evaluate/signs/records.json").read_text())
    assert json.loads(told)["mrr"] == pytest.approx(
        next(
            one["best"] for one in records if one["best"] == pytest.approx(json.loads(told)["mrr"])
        )
    )


def test_nothing_runs_again(folder):
    assert "Data and pipelines are up to date" in run(folder, "dvc", "status")


PSEUDO = {"task": "signs", "init": "tiny-apart", "head": "linear", "of": "hashtags"}
PSEUDO |= {"policy": {"name": "sudden"}, "keep": {"per_class": 10}, "share": 0.5}


@pytest.fixture(scope="module")
def labelled(folder) -> tuple[Path, list[str]]:
    """The same with pseudo-labels of posts, and a task that trains on both; the stages that ran."""
    both = PARAMS["tasks"]["signs"] | {"data": "../materialised/pseudo"}
    overlaid(folder, {"materialise": {"pseudo": PSEUDO}, "tasks": {"both": both}})
    return folder, pipeline(folder)


def test_pseudo_labels_are_data_of_another_task(labelled):
    folder, ran = labelled
    assert ran == ["materialise@pseudo", "finetune@both", "evaluate@both", "register"]
    about = json.loads((folder / "out/materialised/pseudo/set.json").read_text())
    assert about["labelled"] == "targets/signs" and set(about["kept"]) == {"0", "1"}
    assert all(2 <= count <= 20 for count in about["kept"].values())
    records = json.loads((folder / "out/evaluate/both/records.json").read_text())
    assert {one["data"] for one in records} == {"targets/signs"}
    report = (folder / "out/register/report.md").read_text()
    assert "signs, mrr %" in report and "both, mrr %" in report
    assert pipeline(folder) == []


def start(folder: Path, stage: str, **env: str) -> subprocess.Popen:
    """A stage in a process group of its own."""
    command = [sys.executable, "-m", f"flows.{stage.split()[0]}", *stage.split()[1:]]
    told = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    given = bare_environment() | env
    return subprocess.Popen(command, cwd=folder, env=given, start_new_session=True, **told)


def killed_at(folder: Path, stage: str, pattern: str, **env: str) -> None:
    """Start a stage, and kill it and all its processes once a file of this pattern is there."""
    process = start(folder, stage, **env)
    try:
        wait_for(lambda: process.poll() is not None or any(folder.glob(pattern)), 120)
        assert process.poll() is None, "it had ended before"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_killed_labelling_goes_on_with_the_next_network(labelled, tmp_path):
    folder, _ = labelled
    work = tmp_path / "work"
    shutil.copytree(folder, work, symlinks=True)
    before = contents(work / "out/materialised")
    shutil.rmtree(work / "out/materialised")
    state = ".tagdag/state/materialise-pseudo.*.parquet"
    for file in work.glob(state):
        file.unlink()
    (work / "die").touch()
    # by one process, one network after the other
    process = start(work, "materialise pseudo", TAGDAG_RUNNER="processes:1")
    assert process.wait(120) == -signal.SIGKILL
    (work / "die").unlink()
    kept = {file: file.stat().st_mtime_ns for file in work.glob(state)}
    assert len(kept) == 1 and not (work / "out/materialised").exists()
    run(work, "python", "-m", "flows.materialise", "pseudo")
    assert contents(work / "out/materialised") == before
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())


def test_a_killed_training_with_two_optimizers_goes_on_exactly(folder, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(folder, work, symlinks=True)
    overlaid(work, {"pretrain": {"tiny-apart": {"epochs": 200}}})
    run(work, "python", "-m", "flows.pretrain", "tiny-apart")
    weights = work / "out/pretrain/tiny-apart/model.safetensors"
    whole = weights.read_bytes()
    weights.unlink()
    state = ".tagdag/state/pretrain-tiny-apart.*/00000*[1-9].safetensors"
    killed_at(work, "pretrain tiny-apart", state, TAGDAG_CHECKPOINT_SECONDS="0")
    assert not weights.exists()
    told = run(work, "python", "-m", "flows.pretrain", "tiny-apart")
    assert weights.read_bytes() == whole, told


def test_a_killed_evaluation_gives_the_same_answers(folder, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(folder, work, symlinks=True)
    out = work / "out/evaluate/signs"
    names = ("answers.parquet", "predictions.parquet", "gains.json")
    before = {name: (out / name).read_bytes() for name in names}
    process = start(work, "evaluate signs")
    try:
        # tested, and its costs are being measured
        wait_for(lambda: process.poll() is not None or len(list(process_files(process))) > 0, 120)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for name in names:
        (out / name).unlink()
    run(work, "python", "-m", "flows.evaluate", "signs")
    assert {name: (out / name).read_bytes() for name in names} == before


def process_files(process: subprocess.Popen) -> list[Path]:
    """The children of a process: those that test networks."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [Path(child) for task in tasks for child in task.read_text().split()]
