"""Any pretraining on any task, in one DAG: `python -m benchmarks.anytask --out FILE`.

The overlay recipes/anytask.yaml on the drawn sample: hashtags, rotation and no pretraining, on a
task of labels, on one of tags (mean average precision), and on one of labels and pseudo-labels of
posts. Tells the matrix of the report, what the registry has of each task, what training on both
gains over the labels alone with its interval, and which stages and arms run again when the settings
of one pretraining change.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from benchmarks.clone import merged, python
from benchmarks.identity import copied
from corpus.drawn.sample import draw_sample
from corpus.drawn.tagged import draw_tagged

TOP = Path(__file__).parents[1]
OVERLAY = TOP / "recipes" / "anytask.yaml"
CHANGED = "baseline-rotation"  # the pretraining whose settings are changed
MODEL = "baseline-{task}-{init}-linear-{labels}-32px"  # as flows/measuring/summary.py calls it


def prepared(folder: Path, posts: int) -> dict:
    """A copy of the working tree with the drawn sample, a drawn set of tags, and the overlay."""
    copied(folder, None)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params = merged(params, yaml.safe_load(OVERLAY.read_text()))
    # the network of a search, which this does not make
    for section, name in (("candidates", "winner"), ("pretrain", "winner-hashtags")):
        params[section].pop(name)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    draw_sample(folder / "data", posts=posts)
    draw_tagged(folder / "data" / "targets" / "things")
    (folder / "data.dvc").unlink(missing_ok=True)
    python(folder, "dvc", "add", "-q", "data")
    return params


def pipeline(folder: Path) -> tuple[list[str], float]:
    """(the stages that ran, seconds); SystemExit with what was printed where one fails."""
    begun = time.monotonic()
    told = {"cwd": folder, "capture_output": True, "text": True}
    env = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    done = subprocess.run([sys.executable, "-m", "flows.pipeline"], env=env, check=False, **told)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-6000:])
    lines = (done.stdout + done.stderr).splitlines()
    ran = [one[1:].partition("]")[0] for one in lines if one.startswith("[") and "] python" in one]
    return ran, time.monotonic() - begun


def finished(folder: Path) -> dict[str, int]:
    """The arms that are kept, with the time at which each was trained."""
    files = folder.glob(".tagdag/state/finetune-*/finished.safetensors")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def matrix(folder: Path) -> str:
    """The table of candidates and pretrainings on all tasks, out of the report."""
    report = (folder / "out/register/report.md").read_text()
    _, _, after = report.partition("## Candidates and pretrainings on all tasks\n\n")
    return after.partition("\n\n")[0]


def values(folder: Path, task: str, model: str) -> np.ndarray:
    """The headline of each test image (seeds, images) of a model, in the order of their ids."""
    table = pq.read_table(folder / f"out/evaluate/{task}/answers.parquet")
    table = table.filter(pc.equal(table["model"].cast("string"), model))
    table = table.sort_by([("seed", "ascending"), ("id", "ascending")])
    seeds = len(table["seed"].unique())
    assert seeds, model
    return table["value"].to_numpy().reshape(seeds, -1)


def gain_of_pseudo_labels(folder: Path, params: dict) -> list[str]:
    """A row per init: labels alone, labels and pseudo-labels, the gain with its interval."""
    from flows.measuring.headline import Headline
    from flows.measuring.intervals import gain_of_values

    labels, rows = params["tasks"]["both"]["labels"][0], []
    for init in params["tasks"]["both"]["inits"]:
        alone, both = (
            values(folder, task, MODEL.format(task=task, init=init, labels=labels))
            for task in ("scenes", "both")
        )
        gain, low, high = gain_of_values(both, alone, Headline())
        told = f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"
        rows.append(f"| {init} | {alone.mean():.1f} | {both.mean():.1f} | {told} |")
    return rows


def registry(folder: Path) -> list[str]:
    """A row per registered model: its versions, its metric and its champion."""
    import mlflow

    client, rows = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db"), []
    for model in sorted(client.search_registered_models(), key=lambda one: one.name):
        versions = client.search_model_versions(f"name = '{model.name}'")
        champion = client.get_model_version_by_alias(model.name, "champion")
        value, headline = (champion.tags[f"tagdag.{key}"] for key in ("value", "headline"))
        told = f"version {champion.version}: {headline} {float(value):.1f}"
        rows.append(f"| {model.name} | {len(versions)} | {told} |")
    return rows


def change(folder: Path) -> None:
    """Another number of epochs for one pretraining."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["pretrain"][CHANGED]["epochs"] -= 1
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def study(folder: Path, posts: int) -> str:
    """The page of results."""
    params = prepared(folder, posts)
    ran, seconds = pipeline(folder)
    lines = [f"{len(ran)} stages, {seconds / 60:.1f} minutes: {', '.join(ran)}.", ""]
    lines += [
        matrix(folder),
        "",
        "| registered model | versions | champion |",
        "| --- | --- | --- |",
    ]
    lines += [*registry(folder), "", "Of the head `linear`, trained with the whole network:", ""]
    lines += ["| init | labels, top-1 % | and pseudo-labels | gain, points (95 % interval) |"]
    lines += ["| --- | --- | --- | --- |", *gain_of_pseudo_labels(folder, params), ""]
    before = finished(folder)
    change(folder)
    again, seconds = pipeline(folder)
    after = finished(folder)
    kept = sum(before.get(name) == when for name, when in after.items())
    lines += [
        f"`pretrain.{CHANGED}.epochs` changed: {', '.join(again)} ran, in {seconds / 60:.1f} "
        f"minutes; of {len(after)} arms {len(after) - kept} were trained, {kept} taken as they "
        "were."
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, or write it to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anytask", description=__doc__)
    parser.add_argument("--out", type=Path, help="file to write the page to")
    parser.add_argument("--posts", type=int, default=8000, help="of the drawn sample")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = f"# Any pretraining on any task\n\n{study(Path(folder), args.posts)}"
    if args.out:
        args.out.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
