"""Real hashtags through the whole corpus stage: 57,383 Instagram posts (HARRISON) and 17,879 Flickr posts of Dresden.

`python -m benchmarks.realtags --packs ../shared/data [--out benchmarks/results]`. The packs hold no images, so each
post gets a drawn one of its own; everything else is the product: the store, canonical hashtags with WordNet and
without, vocabulary, shards, report. The reports stay in --work for people to look at.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow
import torch
from PIL import Image

from benchmarks.packs import NOUNS, members
from corpus.build import build
from corpus.store.posts import Post
from corpus.store.write import write_store
from engine.profile import device_name
from flows.command import user_errors

TAGS = "hashtags.tar.xz"
STOP = ["instapic", "instagram", "love", "instagood", "photooftheday", "tbt", "like4like", "picoftheday", "flickr"]
HEAD = ("set", "WordNet", "posts kept", "distinct tags", "classes", "classes in WordNet", "forms merged", "uses kept %")


def drawn(number: int) -> bytes:
    """A JPEG of 8 x 8 pixels of one's own."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def table(packs: Path, name: str) -> Iterator[dict[str, str]]:
    """The rows of a table of the pack."""
    data = next(data for _, data in members(packs, TAGS, f"hashtags/{name}"))
    yield from csv.DictReader(data.decode().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)


def posts(packs: Path, name: str) -> Iterator[tuple[Post, bytes]]:
    """The posts of one of the two sets that have hashtags."""
    if name == "harrison":
        rows = ((r["image"], None, None, r["hashtags"].split()) for r in table(packs, "harrison_instagram_tags.tsv"))
    else:
        found = table(packs, "flickr_dresden_tags.tsv")
        rows = ((r["post"], r["user"], r["date"] or None, [t for t in r["tags"].split(";") if t]) for r in found)
    for number, (key, user, time, tags) in enumerate(rows):
        if tags:
            yield Post(id=key, image=f"{number}.jpg", hashtags=tags, user=user, time=time), drawn(number)


def measured(out: Path, data: Path, work: Path, wordnet: str | None) -> tuple:
    """Builds one report; posts kept, distinct tags, classes, classes in WordNet, merged forms, share of uses kept."""
    options = {"min_posts": 20, "max_tags": 8500, "stop": STOP, "duplicates": "ignore", "size": 8}
    summary = build(data, out, work / "squares", wordnet=wordnet, **options)
    rows = list(csv.DictReader((out / "vocabulary.csv").open(encoding="utf-8")))
    merged = sum(len(row["merged_forms"].split()) for row in rows)
    known = sum(bool(row["synsets"]) for row in rows)
    return summary["posts_kept"], summary["distinct_hashtags"], len(rows), known, merged, summary["uses_kept_percent"]


def main() -> None:
    """Build the four reports and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, default=Path("../shared/data"), help="folder of the packs (*.tar.xz)")
    parser.add_argument("--work", type=Path, default=Path(".tagdag/realtags"), help="where stores and reports stay")
    parser.add_argument("--out", type=Path, help="folder for realtags.md")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    with user_errors():
        nouns = given.work / "wordnet_nouns.tsv"
        nouns.write_bytes(next(data for _, data in members(given.packs, NOUNS, f"wordnet_nouns/{nouns.name}")))
        for name in ("harrison", "flickr"):
            data = given.work / name
            print(f"{name}: {write_store(data / 'posts', posts(given.packs, name)):,} posts", file=sys.stderr)
            for wordnet in (None, str(nouns)):
                out = given.work / f"{name}-{'wordnet' if wordnet else 'plain'}"
                cells = measured(out, data, given.work, wordnet)
                lines.append("| " + " | ".join(map(str, (name, "yes" if wordnet else "no", *cells))) + " |")
                print(f"look at {out / 'report.html'}", file=sys.stderr)
    about = f"{device_name(torch.device('cpu'))}; pyarrow {pyarrow.__version__}; {datetime.now(UTC):%Y-%m-%d}"
    text = "\n".join(["# Real hashtags through the corpus stage", "", about, "", *lines, ""])
    print(text)
    if given.out:
        (given.out / "realtags.md").write_text(text)


if __name__ == "__main__":
    main()
