"""What the registry keeps of a version so that it can be compared with others, without this folder.

Artifacts of the version's source run, in `compare/`:

- about.json: params.yaml, the corpus in numbers, training labels by class, digests of the code;
- answers.parquet: what every seed answered to every test sample (predictions.parquet of versions
  that were registered before there were tasks);
- images.parquet: small pictures of test images that were answered wrongly, the surest first;
- vocabulary.parquet: posts by hashtag.

Of two versions that disagree about an image one is wrong, so one of them has its picture.
"""

import csv
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.media.images import BadImage
from corpus.media.squares import square
from engine.core.digest import digest
from flows.measuring.predictions import FILE
from flows.measuring.stored import pictures, read_rows, set_of
from flows.registry import sourcerun
from flows.running import code, settings
from flows.tracking import tracking
from flows.tracking.outage import retry
from flows.tracking.refusals import allowed_name

FOLDER, ABOUT, IMAGES, VOCABULARY = "compare", "about.json", "images.parquet", "vocabulary.parquet"
DETAILS, DETAILED = "details", "tagdag.details"
KEPT = "tagdag.compare"  # tag of the run: the test split that its files are about
PICTURES, SIDE, BYTES = 120, 96, 4000  # pictures kept; pixels of one that has more bytes
HASHTAGS = 50_000  # of the vocabulary, the most frequent


@functools.cache
def code_digests() -> dict[str, str]:
    """The digest of every file that some stage's result depends on; computed once a process."""
    params, found = settings.load_params(), set()
    for stage in settings.STAGES:
        found.update(code.code_files(stage, params))
    return {file.relative_to(code.ROOT).as_posix(): digest(file) for file in sorted(found)}


def _about(record: dict[str, Any]) -> dict[str, Any]:
    summary = settings.OUT / "corpus" / "summary.json"
    return {
        "seed": record.get("seed"),
        "params": settings.load_params(),
        "corpus": json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {},
        "labels": record.get("labels_seen", {}),
        "code": code_digests(),
    }


def answers_of(record: dict[str, Any]) -> pa.Table | None:
    """What all seeds of a model answered, as the stage evaluate left it."""
    file = settings.OUT / "evaluate" / record["task"] / FILE
    table = read_rows(file, None, [("model", "==", record["model"])])
    return table if table is not None and len(table) else None


def surest_mistakes(answers: pa.Table, most: int = PICTURES) -> list[str]:
    """Ids of test images that some seed answered wrongly, those of the highest scores first.

    None where samples have no class each.
    """
    if answers["guess"].null_count:
        return []
    label, guess, score = (answers[name].to_numpy() for name in ("label", "guess", "score"))
    wrong = np.flatnonzero(label != guess)
    order = wrong[np.argsort(-score[wrong], kind="stable")]
    ids = answers["id"].take(order).to_pylist()
    return list(dict.fromkeys(ids))[:most]


def _small(data: bytes) -> bytes | None:
    try:
        return square(data, SIDE) if len(data) > BYTES else data
    except BadImage:
        return None


def _write_images(file: Path, answers: pa.Table, data: str) -> None:
    ids = surest_mistakes(answers)
    found = pictures(set_of(data), ids)
    small = {key: _small(found[key]) for key in ids if key in found}
    kept = {key: data for key, data in small.items() if data}
    columns = {"id": pa.array(kept, pa.string()), "image": pa.array(kept.values(), pa.binary())}
    pq.write_table(pa.table(columns), file)


def _write_vocabulary(file: Path) -> None:
    source = settings.OUT / "corpus" / "vocabulary.csv"
    if not source.is_file():
        return
    with source.open(encoding="utf-8", newline="") as lines:
        rows = [(row["hashtag"], int(row["posts"])) for row in csv.DictReader(lines)]
    rows = sorted(rows, key=lambda row: -row[1])[:HASHTAGS]
    names, posts = [name for name, _ in rows], [count for _, count in rows]
    columns = {"hashtag": pa.array(names, pa.string()), "posts": pa.array(posts, pa.int64())}
    pq.write_table(pa.table(columns), file, compression="zstd")


def _write_origin(folder: Path, record: dict[str, Any]) -> None:
    (folder / ABOUT).write_text(json.dumps(_about(record)) + "\n", encoding="utf-8")
    _write_vocabulary(folder / VOCABULARY)


def _write_answers(folder: Path, answers: pa.Table, data: str) -> None:
    pq.write_table(answers, folder / FILE, compression="zstd")
    _write_images(folder / IMAGES, answers, data)


@retry
def _kept(run_id: str, tag: str) -> str | None:
    return tracking.connect().get_run(run_id).data.tags.get(tag)


@retry
def _sent(run_id: str, folder: Path, place: tuple[str, str], test: str) -> None:
    """place: the folder of its artifacts, and the tag that says that they are there."""
    client, (name, tag) = tracking.connect(), place
    if any(folder.iterdir()):
        client.log_artifacts(run_id, str(folder), name)
    # last: what a kill has left unsent is sent anew
    client.set_tag(run_id, tag, test)


def keep_details(run_id: str, test: str, write_files: Callable[[Path], dict[str, float]]) -> None:
    """Log tables and pages of a model with its run, and metrics, once per test split.

    write_files: fills a folder and returns metrics by name.
    """
    if not sourcerun.is_active(run_id) or _kept(run_id, DETAILED) == test:
        return
    with tempfile.TemporaryDirectory() as folder:
        values = write_files(Path(folder))
        _log_metrics(run_id, {allowed_name(key): value for key, value in values.items()})
        _sent(run_id, Path(folder), (DETAILS, DETAILED), test)


@retry
def _log_metrics(run_id: str, values: dict[str, float]) -> None:
    from mlflow.entities import Metric

    client = tracking.connect()
    # not the present: what a repeat logs once more is then the same
    now = client.get_run(run_id).info.start_time
    metrics = [Metric(key, value, now, 0) for key, value in values.items()]
    client.log_batch(run_id, metrics=metrics, synchronous=True)


def keep(run_id: str, record: dict[str, Any], answers: pa.Table | None = None) -> None:
    """Log the files of a model with its source run, once per test split.

    answers: by default those that the stage evaluate left.
    """
    if not sourcerun.is_active(run_id):
        return
    before = _kept(run_id, KEPT)
    if before == record["test"]:
        return
    found = answers_of(record) if answers is None else answers
    with tempfile.TemporaryDirectory() as folder:
        if before is None:  # tested again, it is still of the params and posts that it was made of
            _write_origin(Path(folder), record)
        if found is not None:
            _write_answers(Path(folder), found, record["data"])
        _sent(run_id, Path(folder), (FOLDER, KEPT), record["test"])
