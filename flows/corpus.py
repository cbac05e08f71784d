"""Stage corpus: posts in, training shards out."""

import json
from pathlib import Path
from typing import Any

from corpus.build import build
from flows import settings
from flows.command import main
from flows.orchestrate import flow, progress, task
from flows.tracking import stage_run


@task
def shards(data: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Normalise hashtags, choose the vocabulary, write shards, index and report."""
    with progress("corpus") as show:
        return build(data, out, progress=show, **options)


@flow
def corpus(
    size: int = 32,
    min_posts: int = 20,
    max_tags: int = 1000,
    min_tags: int = 1,
    holdout: float = 0.05,
    stop: list[str] = [],  # noqa: B006 - read only, and shown by --help
    misspellings: bool = True,
    merged: bool = True,
    shard_mb: int = 64,
) -> None:
    """Turn data/ into tar shards with a Parquet index, a vocabulary and a report with counts and a Zipf plot."""
    options = dict(locals())
    out = settings.OUT / "corpus"
    with stage_run("corpus", options) as run:
        summary = shards(Path("data"), out, options)
        run.metrics({k: v for k, v in summary.items() if isinstance(v, int | float)})
        run.files(*(f for f in sorted(out.iterdir()) if f.is_file()))
        print(json.dumps({k: v for k, v in summary.items() if isinstance(v, int | float)}))


if __name__ == "__main__":
    main(corpus)
