"""Real hashtags through the whole corpus stage: HARRISON (Instagram) and Flickr posts of Dresden.

`python -m benchmarks.realtags --packs ../shared/data [--out benchmarks/results]`. The packs hold no
images, so each of the 57,383 and 17,879 posts gets a drawn one of its own; everything else is the
product: the store, canonical hashtags with WordNet, without, and without plurals by rule (`lemmas:
false`), vocabulary, shards, report. The reports stay in --work for people to look at. Then plurals
by rule among all hashtags of the pack, the gold splits' too, are judged by WordNet's morphology.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from PIL import Image

from benchmarks.packs import NOUNS, members
from corpus.hashtags.normal import normalise
from corpus.hashtags.plurals import plurals
from corpus.hashtags.wordnet import WordNet, read_wordnet
from corpus.kinds.posts import Post
from corpus.store.write import write_store
from engine.measure.profile import device_name
from flows.cli.command import user_errors
from tests.support.corpora import build_with

TAGS = "hashtags.tar.xz"
SETS = ("harrison", "flickr")
STOP = [
    "instapic",
    "instagram",
    "love",
    "instagood",
    "photooftheday",
    "tbt",
    "like4like",
    "picoftheday",
    "flickr",
]
RULES = ("everyday", "lemma", "plural", "words", "spelling")
HEAD = ("set", "WordNet", "lemmas", "posts kept", "distinct tags", "classes", "classes in WordNet")
HEAD = (*HEAD, "forms merged", "uses kept %", "merged by " + ", ".join(RULES))


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


def posts(packs: Path, name: str, image: Callable = drawn) -> Iterator[tuple[Post, Any]]:
    """The posts of one of the two sets that have hashtags, each with its image(number)."""
    if name == "harrison":
        rows = (
            (r["image"], None, None, r["hashtags"].split())
            for r in table(packs, "harrison_instagram_tags.tsv")
        )
    else:
        found = table(packs, "flickr_dresden_tags.tsv")
        rows = (
            (r["post"], r["user"], r["date"] or None, list(filter(None, r["tags"].split(";"))))
            for r in found
        )
    for number, (key, user, time, tags) in enumerate(rows):
        if tags:
            post = Post(id=key, image=f"{number}.jpg", hashtags=tags, user=user, time=time)
            yield post, image(number)


def measured(out: Path, data: Path, work: Path, wordnet: str | None, lemmas: bool) -> tuple:
    """Builds one report; the cells of its row after the settings."""
    options = {"min_posts": 20, "max_tags": 8500, "stop": STOP, "duplicates": "ignore", "size": 8}
    found = build_with(data, out, work / "squares", wordnet=wordnet, lemmas=lemmas, **options)
    rows = list(csv.DictReader((out / "vocabulary.csv").open(encoding="utf-8")))
    merged = sum(len(row["merged_forms"].split()) for row in rows)
    known = sum(bool(row["synsets"]) for row in rows)
    by_rule = (found["merged"].get(rule, {}).get("forms", 0) for rule in RULES)
    counts = found["posts_kept"], found["distinct_hashtags"], len(rows), known, merged
    return *counts, found["uses_kept_percent"], ", ".join(map(str, by_rule))


def forms_of(packs: Path) -> Counter[str]:
    """Posts of each normalised hashtag of the pack; a gold split counts as one."""
    tags = [tag for name in SETS for post, _ in posts(packs, name, str) for tag in post.hashtags]
    tags += [row["hashtag"] for row in table(packs, "hashtag_segmentation.tsv")]
    return Counter(form for form in map(normalise, tags) if form)


def judged(forms: Counter[str], wordnet: WordNet) -> list[str]:
    """Plurals by rule against WordNet's morphology, where it knows one of the two forms."""
    found = {form: plural.singular for form, plural in plurals(forms, forms).items()}
    wanted = {form: wordnet.singular(form) for form in forms if form not in wordnet}
    wanted = {form: one for form, one in wanted.items() if one in forms}
    right = {form for form, one in found.items() if wanted.get(form) == one}
    other = {form for form in found if form in wordnet}  # WordNet has the plural as a noun itself
    alike = {form for form in other if {*wordnet.find(form)} & {*wordnet.find(found[form])}}
    wrong = [*(set(wanted) & set(found) - right), *(other - alike)]
    unknown = sorted(set(found) - right - other - set(wrong))
    both = len(right) + len(alike)
    some = unknown[:: len(unknown) // 60 + 1]
    return [
        f"- {len(forms):,} distinct hashtags; {len(found):,} are plurals of another by rule",
        f"- recall: {len(right):,} of {len(wanted):,} plurals of another by WordNet's morphology",
        f"- missed: {shown(set(wanted) - set(found), wanted)}",
        f"- precision: {both:,} of {both + len(wrong):,} that WordNet can judge",
        f"- not right (nouns of their own in WordNet): {shown(wrong, found)}",
        f"- unknown to WordNet: {len(unknown):,}, such as {shown(some, found)}",
    ]


def shown(names: Iterable[str], singulars: Mapping[str, str]) -> str:
    """Pairs in a line."""
    return ", ".join(f"{name} ({singulars[name]})" for name in sorted(names)) or "none"


def main() -> None:
    """Build the four reports and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--packs", type=Path, default=Path("../shared/data"), help="folder of the packs (*.tar.xz)"
    )
    parser.add_argument(
        "--work", type=Path, default=Path(".tagdag/realtags"), help="where stores and reports stay"
    )
    parser.add_argument("--out", type=Path, help="folder for realtags.md")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    with user_errors():
        nouns = given.work / "wordnet_nouns.tsv"
        nouns.write_bytes(
            next(data for _, data in members(given.packs, NOUNS, f"wordnet_nouns/{nouns.name}"))
        )
        for name in SETS:
            data = given.work / name
            print(
                f"{name}: {write_store(data / 'posts', posts(given.packs, name)):,} posts",
                file=sys.stderr,
            )
            for wordnet, lemmas in ((None, False), (None, True), (str(nouns), True)):
                kind = "wordnet" if wordnet else "plain" if lemmas else "unmerged"
                out = given.work / f"{name}-{kind}"
                cells = measured(out, data, given.work, wordnet, lemmas)
                settings = "yes" if wordnet else "no", str(lemmas).lower()
                lines.append("| " + " | ".join(map(str, (name, *settings, *cells))) + " |")
                print(f"look at {out / 'report.html'}", file=sys.stderr)
        lines += ["", "## Plurals by rule, judged by WordNet", ""]
        lines += judged(forms_of(given.packs), read_wordnet(nouns))
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    about = f"{device_name(torch.device('cpu'))}; pyarrow {pyarrow.__version__}; {today}"
    text = "\n".join(["# Real hashtags through the corpus stage", "", about, "", *lines, ""])
    print(text)
    if given.out:
        (given.out / "realtags.md").write_text(text)


if __name__ == "__main__":
    main()
