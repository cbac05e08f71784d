"""Stage corpus: posts in, training shards out."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.cli.command import main
from flows.data import intact
from flows.running import settings
from flows.running.orchestrate import flow, progress, task
from flows.tracking.tracking import stage_run
from models.blocks.ranges import Count, Pixels, Share

CACHE = settings.STATE / "squares"


@task
def shards(data: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Canonicalise hashtags, choose the classes, find duplicates, write shards, index and
    report.
    """
    from corpus.build import build

    with progress("corpus") as show:
        intact.data(show)
        return build(data, out, CACHE, progress=show, **options)


@flow
def corpus(
    size: Pixels = settings.SIZE,
    vocabulary: Literal["frequent", "nouns", "targets"] = "frequent",
    min_posts: Count = 20,
    max_tags: Count = 1000,
    user_cap: Count | None = None,
    stop: list[str] = [],  # noqa: B006 - read only, and shown by --help
    everyday: bool = True,
    wordnet: str | None = None,
    senses: Literal["same", "first", "all"] = "same",
    lemmas: bool = True,
    merged: bool = True,
    misspellings: bool = True,
    min_tags: Count = 1,
    noise: Share = 0.0,
    duplicates: Literal["drop", "flag", "ignore"] = "drop",
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.05,
    val_share: Annotated[float, Field(ge=0, lt=1)] = 0.15,
    test_share: Annotated[float, Field(ge=0, lt=1)] = 0.2,
) -> None:
    """Turn data/ into tar shards with a Parquet index, a vocabulary and a report of what became
    of every post.

    Classes are the max_tags most frequent hashtags of at least min_posts posts (of one user,
    user_cap of them count): "frequent" whatever they mean, "nouns" of WordNet, or of the "targets",
    the classes of the labelled sets. `wordnet` names a file (Princeton's dict, Open English
    WordNet's XML, a table); keep it in data/, so that it is versioned. A labelled set that has no
    val or test split gets one out of its train images: `val_share`, `test_share` of them. `python
    -m flows.explain "#hashtag"` shows what the rules make of one.
    """
    options = dict(locals())
    out = settings.OUT / "corpus"
    with stage_run("corpus", options) as run:
        summary = shards(Path("data"), out, options)
        numbers = {k: v for k, v in summary.items() if isinstance(v, int | float)}
        run.metrics(numbers)
        run.dataset("posts", summary["digest"], "data", numbers, "pretraining")
        run.files(*(f for f in sorted(out.iterdir()) if f.is_file()))
        print(json.dumps(numbers))


if __name__ == "__main__":
    main(corpus)
