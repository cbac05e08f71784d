"""What the page of versions needs out of MLflow's registry, and of nothing else.

Versions of other tools, and older ones, say less: what is missing stays empty.
"""

import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows.measuring.predictions import FILE
from flows.registry import aliases, audit, evidence
from flows.registry.aliases import CHAMPION
from flows.registry.trees import paged
from flows.reports.models.tables import to_answers
from flows.reports.versions.findings import Findings, Kept, Values, Version
from flows.reports.versions.gitdiff import changed_lines
from flows.tracking import tracking
from flows.tracking.address import printable_uri
from flows.tracking.outage import is_away, retry

BEFORE = "predictions.parquet"  # what FILE was called before there were tasks
MOST = 50  # versions shown where none are named


@retry
def _all(name: str) -> list[Any]:
    """The versions of a model, the newest first."""
    search = tracking.connect().search_model_versions
    found = paged(search, filter_string=f"name = '{name}'")
    return sorted(found, key=lambda version: -int(version.version))


@retry
def _run(run_id: str) -> Any | None:
    """The run of a version; None where there is none, as of other tools."""
    from mlflow.exceptions import MlflowException

    try:
        return tracking.connect().get_run(run_id) if run_id else None
    except MlflowException as error:
        if is_away(error):
            raise
        return None


def _version(found: Any, named: Sequence[str]) -> Version:
    run, when = _run(found.run_id), found.creation_timestamp
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(when / 1000)) if when else ""
    return Version(
        number=str(found.version),
        aliases=tuple(sorted(named)),
        when=at,
        tags=dict(found.tags),
        params=dict(run.data.params) if run else {},
        metrics=dict(run.data.metrics) if run else {},
    )


@retry
def _downloaded(run_id: str, folder: Path) -> Path | None:
    """The files that a run keeps for comparisons; None where it has none."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        if not tracking.connect().list_artifacts(run_id, evidence.FOLDER):
            return None
        uri = f"runs:/{run_id}/{evidence.FOLDER}"
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        if is_away(error):
            raise
        return None


def _columns(file: Path, *names: str) -> list[list[Any]]:
    """Columns of a table; empty where it is not there."""
    if not file.is_file():
        return [[] for _ in names]
    table = pq.read_table(file, columns=list(names))
    return [table[name].to_pylist() for name in names]


def to_values(table: pa.Table, seeds: int) -> Values | None:
    """The headline of every sample, by every seed; None where the table has none."""
    if "value" not in table.column_names or table["value"].null_count:
        return None
    table = table.sort_by([("seed", "ascending"), ("id", "ascending")])
    values = table["value"].to_numpy().astype(float).reshape(seeds, -1)
    return Values(table["id"].to_pylist()[: values.shape[1]], values)


def read_kept(folder: Path, model: str, task: str) -> Kept:
    """The files of a version; ValueError or ArrowException where they are damaged."""
    file = folder / evidence.ABOUT
    about = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    hashtags, posts = _columns(folder / evidence.VOCABULARY, "hashtag", "posts")
    ids, images = _columns(folder / evidence.IMAGES, "id", "image")
    answers, values, own = None, None, 0
    for file in (folder / name for name in (FILE, BEFORE) if (folder / name).is_file()):
        table = pq.read_table(file)
        seeds = np.unique(table["seed"].to_numpy()).tolist()
        own = seeds.index(about["seed"]) if about.get("seed") in seeds else 0
        values = to_values(table, len(seeds))
        # else samples have no class each
        if not table["guess"].null_count:
            answers = to_answers(table, model, task, file.name)
        break
    return Kept(
        about=about,
        vocabulary=dict(zip(hashtags, posts, strict=True)),
        answers=answers,
        values=values,
        own=own,
        pictures=dict(zip(ids, images, strict=True)),
    )


def _with_kept(version: Version, run_id: str, faults: list[str]) -> Version:
    """The version with what its run keeps; adds to the faults what cannot be read."""
    if not run_id:
        return version
    with tempfile.TemporaryDirectory() as folder:
        found = _downloaded(run_id, Path(folder))
        if found is None:
            return version
        try:
            kept = read_kept(found, version.model, version.tag("task"))
        except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
            cause = str(error).partition("\n")[0][:200]
            faults.append(f"What is kept of version {version.number} cannot be read: {cause}")
            return version
    return Version(**(vars(version) | {"kept": kept}))


def chosen(name: str, wanted: Iterable[str], everything: list[Any], pair: set[str]) -> list[Any]:
    """The versions that were asked for; all but the oldest where none were, the pair among them."""
    numbers = {str(aliases.find_version(name, each).version) for each in wanted}
    if numbers:
        return [each for each in everything if str(each.version) in numbers | pair]
    newest = {str(each.version) for each in everything[:MOST]} | pair
    return [each for each in everything if str(each.version) in newest]


def default_pair(
    entries: list[audit.Entry], named: dict[str, str], numbers: list[str]
) -> list[str]:
    """Champion and challenger; where these are one, the champion before it, or the newest other.

    named: version by alias. numbers: of all versions, the newest first.
    """
    first = named.get(CHAMPION) or named.get("challenger") or (numbers or [""])[0]
    before = audit.champions(entries, first)[-2::-1]
    others = [named.get("challenger", ""), *before, *numbers]
    second = next((each for each in others if each in numbers and each != first), "")
    return [first, second] if second and first in numbers else []


def read(name: str, wanted: Sequence[str] = (), pair: Sequence[str] = ()) -> Findings:
    """All findings about a registered model; ValueError where it, or one that was named, is not.

    wanted: numbers or aliases of the versions to show, by default the newest and the pair.
    pair: two of them to compare, by default champion and challenger.
    """
    model, entries, everything = aliases.registered_model(name), audit.trail(name), _all(name)
    named = {alias: str(number) for alias, number in model.aliases.items()}
    numbers = [str(each.version) for each in everything]
    both = [str(aliases.find_version(name, each).version) for each in pair]
    both = both or default_pair(entries, named, numbers)
    shown = chosen(name, wanted, everything, set(both))
    faults: list[str] = []
    versions = {}
    for each in shown:
        number = str(each.version)
        its = [alias for alias, version in named.items() if version == number]
        versions[number] = _version(each, its)
        if number in both:
            versions[number] = _with_kept(versions[number], each.run_id, faults)
    compared = (versions[both[0]], versions[both[1]]) if len(both) == 2 else None
    commits = [each.tag("commit") for each in compared] if compared else []
    return Findings(
        name=name,
        address=printable_uri(),
        versions=list(versions.values()),
        pair=compared,
        trail=entries,
        champion=named.get(CHAMPION, ""),
        left_out=len(everything) - len(versions),
        faults=faults,
        git=changed_lines(*commits) if commits else [],
    )
