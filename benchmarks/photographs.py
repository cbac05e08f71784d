"""The whole DAG on photographs: Tiny ImageNet posted under WordNet hashtags, then CIFAR-10 with
few labels.

    make repro RECIPE=photographs        (or: python -m benchmarks.photographs [--quick] [-S
    finetune.seeds=[0]])

Hashtags are WordNet lemmas, drawn by corpus/sources/labelled.py and merged by synset, as in Mahajan
et al. 2018 (arXiv
1805.00932), section 2.1. The DAG runs in a clone of this repository's HEAD, so that data/ and
params.yaml stay as they are; run again, it goes on there.
"""

import argparse
import contextlib
import csv
import json
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.clone import checkout, committed, git, merged, overlaid, override, parsed, python
from benchmarks.packs import (
    CIFAR,
    FOLDER,
    NOUNS,
    PHOTOS,
    check,
    photographs,
    tag_forms,
    write_nouns,
)
from corpus.records.record import json_line
from corpus.sources import labelled
from engine.core.build import options
from engine.core.digest import digest
from flows.cli.command import user_errors
from flows.measuring.summary import head_name
from flows.reports.models.words import gain_line
from flows.running import settings
from flows.tracking import tracking

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "photographs.yaml"
RESULT = ROOT / "benchmarks" / "results" / "photographs.md"
WORDNET = "wordnet_nouns.tsv"
TASK = "cifar10"  # its name in the overlay, and that of its labelled set
QUICK = (
    *(
        "posts.per_class=30",
        "posts.tags.users=300",
        "labels.train=60",
        "labels.val=20",
        "labels.test=20",
    ),
    *("corpus.min_posts=10", "search.trials=2", "pretrain.*.epochs=1"),
    *("pretrain.*.recipe.warmup=0", "tasks.*.epochs=2", "tasks.*.seeds=[0, 1]"),
    "evaluate.runs=5",
)


# ---- posts and labels


def posts(
    packs: Path, out: Path, tags: dict[str, Any], per_class: int = 300, levels: int = 3
) -> None:
    """Writes Tiny ImageNet (64 px, both parts) as out/posts/<wnid>/* and out/posts.jsonl.

    WordNet beside them.

    `tags` are the keyword arguments of corpus.sources.labelled.Model; hypernyms are named up to
    `levels` above a class.
    """
    tags = options(labelled.Model, tags, "posts.tags", ("images", "forms", "hypernyms"))
    write_nouns(packs, out / WORDNET)
    taken: Counter[str] = Counter()
    for photo in photographs(packs, PHOTOS):
        taken[photo.label] += 1
        if taken[photo.label] <= per_class:
            image = out / "posts" / photo.label / f"{photo.part}-{photo.file}"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(photo.data)
    forms = tag_forms(out / WORDNET, sorted(taken), levels)
    with (out / "posts.jsonl").open("w", encoding="utf-8") as manifest:
        for row in labelled.labelled_posts(out / "posts", **forms, **tags):
            manifest.write(json_line(row.fields | {"image": f"posts/{row.fields['image']}"}))


def labels(packs: Path, out: Path, train: int = 200, val: int = 100, test: int = 1000) -> None:
    """Writes CIFAR-10 (32 px) as out/labels/* and out/labels.csv: the first images per class of
    its own two parts.

    `train` and `val` are apart and from its training images, `test` from its test images; all
    numbers are per class.
    """
    (out / "labels").mkdir(parents=True)
    taken: Counter[tuple[str, str]] = Counter()
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        manifest = csv.writer(file, lineterminator="\n")
        manifest.writerow(("image", "label", "split"))
        for part, label, name, data in photographs(packs, CIFAR):
            number = taken[part, label]
            taken[part, label] += 1
            split = part if number < (test if part == "test" else train) else "val"
            if number < (test if part == "test" else train + val):
                image = f"labels/{part}-{label}-{name}"
                (out / image).write_bytes(data)
                manifest.writerow((image, label, split))


def versioned(packs: Path, work: Path, target: str, sections: dict[str, dict[str, Any]]) -> None:
    """WordNet, posts and labels into the clone's data/ and data.dvc, unless the same code has
    put them there.
    """
    key = digest(
        sections, target, {pack: (packs / pack).stat().st_size for pack in (PHOTOS, NOUNS, CIFAR)}
    )
    key = digest(key, Path(__file__), Path(__file__).with_name("packs.py"), ROOT / "corpus")
    made, data = work / settings.STATE / "photographs.key", work / "data"
    if made.exists() and made.read_text() == key and data.exists():
        return
    made.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        posts(packs, out, **options(posts, sections["posts"], "posts", ("packs", "out")))
        labels(packs, out, **options(labels, sections["labels"], "labels", ("packs", "out")))
        shutil.rmtree(
            data, ignore_errors=True
        )  # whatever an earlier version of this recipe left there
        data.mkdir()
        shutil.copyfile(out / WORDNET, data / WORDNET)
        manifests = ("--posts", str(out / "posts.jsonl"), "--labels", str(out / "labels.csv"))
        python(work, "flows.version", "add", "--images", folder, *manifests, "--target", target)
    made.parent.mkdir(exist_ok=True)
    made.write_text(key)


# ---- the result


def stage_minutes(data: str) -> dict[str, float]:
    """Minutes of the last finished MLflow run of every stage on a data version."""
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    where = f"tags.`tagdag.data` = '{data}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(
        [experiment], where, order_by=["attributes.start_time ASC"], max_results=5000
    )
    named = [(run.data.tags.get("tagdag.stage"), run.info) for run in runs]
    return {stage: (info.end_time - info.start_time) / 60000 for stage, info in named if stage}


def table(records: list[dict[str, Any]], gains: list[dict[str, Any]]) -> list[str]:
    """Markdown: accuracy per candidate, init, head and number of labels.

    What pretraining gave, with intervals.
    """
    head = ("candidate", "init", "head", "labels per class")
    head += ("top-1 % (95 %)", "top-5 %", "top-1 % per seed")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in records:
        spread = f" ({r['low']:.1f} to {r['high']:.1f})"
        cells = [str(r[key]) for key in ("candidate", "init")] + [head_name(r), str(r["labels"])]
        cells += [
            f"{r['value']:.1f}{spread}",
            f"{r['values']['top5']:.1f}",
            ", ".join(f"{value:.1f}" for value in r["by_seed"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", *(f"- {gain_line(gain)}" for gain in gains)]


def facts(work: Path, commit: str, minutes: float) -> dict[str, str]:
    """What a reader needs to run the DAG of a clone again, and how long it took."""
    params = yaml.safe_load((work / "params.yaml").read_text())
    with contextlib.chdir(work):
        data = tracking.data_version()
    counts = json.loads((work / settings.OUT / "corpus" / "summary.json").read_text())
    spent = ", ".join(f"{stage} {value:.1f}" for stage, value in stage_minutes(data).items())
    search, task = params["search"], params["tasks"][TASK]
    pretrain = next(iter(params["pretrain"].values()))
    python, size = platform.python_version(), params["corpus"]["size"]
    seeds = f"search {search['seed']}, pretrain {pretrain['seed']}, finetune {task['seeds']}"
    return {
        "versions": f"tagdag {commit[:12]}, torch {torch.__version__}, Python {python}",
        "data version": data,
        "minutes": f"{minutes:.1f} in this run; each stage when it last ran: {spent}",
        "seeds": seeds,
        "corpus": f"{counts['posts']} posts, {counts['hashtags']} hashtags, {size} px",
        "search": f"{search['trials']} networks, {search['epochs']} epochs each",
        "pretrain": f"{pretrain['epochs']} epochs",
    }


def result(work: Path, command: str, commit: str, sections: dict[str, Any], minutes: float) -> str:
    """The result as Markdown: how it came about, what came out.

    No path of this machine is in it.
    """
    out = work / settings.OUT / "evaluate" / TASK
    records, gains = (
        json.loads((out / f"{part}.json").read_text()) for part in ("records", "gains")
    )
    rows = {
        "command": f"`{command}`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": records[0]["device"],
        **facts(work, commit, minutes),
        "posts from Tiny ImageNet": json.dumps(sections["posts"]),
        "images per class from CIFAR-10 (as JPEG)": json.dumps(sections["labels"]),
    }
    lines = ["# Pretraining on hashtags, on photographs", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([*lines, "", *table(records, gains)]) + "\n"


def run(
    packs: Path, work: Path, recipe: Path, overrides: Sequence[str], command: str, target: Path
) -> None:
    """Clone, data, DAG, result table."""
    started = time.monotonic()
    check(packs)
    overlay = parsed(recipe.read_text(), recipe.name)
    for assignment in overrides:
        overlay = merged(overlay, override(assignment))
    sections = {name: overlay.pop(name, {}) for name in ("posts", "labels")}
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{ROOT / 'mlflow.db'}")
    # from here, so that artifacts of a new experiment stay beside the database, not in the clone
    tracking.connect()
    base = checkout(ROOT, work)
    if git(ROOT, "status", "--porcelain", "--untracked-files=no"):
        print("note: what is not committed is not in the clone that runs", file=sys.stderr)
    overlaid(work, overlay)
    versioned(packs, work, TASK, sections)
    committed(work, "photographs")
    python(work, "flows.pipeline")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(result(work, command, base, sections, (time.monotonic() - started) / 60))
    print(f"result table: {os.path.relpath(target)}")


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.photographs", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    add("--work", type=Path, help="folder of the clone (default .tagdag/photographs)")
    add(
        "--params",
        type=Path,
        default=RECIPE,
        help="YAML laid over params.yaml, with sections posts and labels",
    )
    add(
        "-S",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one number, such as -S posts.tags.noise=0.3",
    )
    add(
        "--quick",
        action="store_true",
        help="few posts and epochs, in a clone of its own; the table stays there",
    )
    given = parser.parse_args()
    shown = ["--quick"] * given.quick + [f"-S {shlex.quote(assignment)}" for assignment in given.S]
    shown += [f"--params {given.params.name}"] if given.params != RECIPE else []
    command = (
        " ".join(["python -m benchmarks.photographs", *shown])
        if shown
        else "make repro RECIPE=photographs"
    )
    work = (given.work or ROOT / settings.STATE / f"photographs{'-quick' * given.quick}").resolve()
    target = work / settings.OUT / RESULT.name if given.quick else RESULT
    with user_errors():
        run(given.packs, work, given.params, [*QUICK * given.quick, *given.S], command, target)


if __name__ == "__main__":
    main()
