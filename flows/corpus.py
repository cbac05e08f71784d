"""Stage corpus: posts in, training shards out.

Read in this order:

- corpus/build.py: the stage from top to bottom,
- corpus/store/squares.py: every image once, square and small,
- corpus/tags/tagging.py: hashtags counted, brought to classes and chosen,
- corpus/duplicates/dedupe.py: which posts repeat others, or images of the labelled sets,
- corpus/pretraining.py, corpus/targets.py: the shards of the posts, and of a labelled set,
- corpus/reading/shards.py: how a training reads them.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.cli.command import main
from flows.data import intact
from flows.running import executors, settings
from flows.running.orchestrate import flow, progress, task
from flows.tracking.tracking import stage_run
from models.blocks.ranges import Count, Pixels, Share

# not below out/, which DVC deletes before the stage runs: more posts square only the new images
CACHE = settings.STATE / "squares"


@task
def write_shards(data: Path, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Canonicalise hashtags, choose classes, find duplicates, write shards, index and report."""
    # here, and not above: --help must not wait for what the stage computes with
    from corpus.build import build_corpus

    with progress("corpus") as show:
        # `dvc repro` has hashed data/ and written data.dvc by now, and compares neither with the
        # stores: damage is told here
        intact.check_data(show)
        return build_corpus(data, out, CACHE, options, show, executors.spread())


@flow
def corpus(
    size: Pixels = settings.SIZE,
    frame_rate: Count = 30,
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
    """Turn data/ into tar shards, a Parquet index, a vocabulary and a report of every post.

    Classes are the `max_tags` most frequent hashtags of at least `min_posts` posts. `python -m
    flows.explain "#hashtag"` shows what the rules make of one.

    size: pixels of the side of an image, in all stages; of the longer one where objects are
        annotated, whose images keep their aspect; of the shorter one of videos.
    frame_rate: frames a second that are kept of a video.
    vocabulary: which hashtags may be classes: `frequent`, whatever they mean; `nouns` of WordNet;
        `targets`, those that name a class of the labelled sets (Mahajan et al. 2018, section 2.1).
    min_posts: a hashtag of fewer posts is no class.
    max_tags: classes at most, the most frequent ones.
    user_cap: so many posts of one user count for a hashtag; null: all.
    stop: off-topic hashtags, which are no class.
    everyday: whether the built-in table of common synonyms and translations is used where no
        WordNet is named.
    wordnet: a WordNet file (Princeton's dict, Open English WordNet's XML, a table); in data/ it is
        versioned.
    senses: hashtags are one class if their sets of synsets are the `same`, or their `first` senses;
        `all`: one class per sense.
    lemmas: whether plurals join their singulars: by WordNet, else by the rules of six languages.
    merged: whether rare merged words are split.
    misspellings: whether rare misspelt words are repaired.
    min_tags: a post of fewer classes is left out.
    noise: share of the tags that give way to draws from their marginal distribution (the paper's
        noise experiment).
    duplicates: posts that repeat a post or an image of a labelled set: `drop` them, `flag` (keep
        and list) or `ignore` them.
    holdout: share of the posts that is held out to validate the pretraining.
    val_share: share of the train images of a labelled set that becomes its val split, where it has
        none.
    test_share: likewise of its test split.
    """
    # before any other name is bound here: only the arguments
    options = dict(locals())
    out = settings.OUT / "corpus"
    with stage_run("corpus", options) as run:
        summary = write_shards(Path("data"), out, options)
        numbers = {k: v for k, v in summary.items() if isinstance(v, int | float)}
        run.metrics(numbers)
        run.dataset("posts", summary["digest"], "data", numbers, "pretraining")
        run.files(*(f for f in sorted(out.iterdir()) if f.is_file()))
        print(json.dumps(numbers))


if __name__ == "__main__":
    main(corpus)
