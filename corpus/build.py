"""The data store in, training shards out: the tags are read first, then the images streamed. Same data, same bytes."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from corpus.hashtags import normalise
from corpus.images import BadImage, square
from corpus.posts import Label, Post, Record, json_line, read_manifest, read_store, replacing
from corpus.report import merged_forms, write_report, zipf_exponent, zipf_plot
from corpus.shards import write_shards
from corpus.sources import Progress, prefetch
from corpus.vocabulary import Vocabulary, choose, read_synonyms


def held_out(post: Post, share: float) -> bool:
    """Whether a post is for validation: decided by its user where known, so that nobody is on both sides."""
    key = f"user:{post.user}" if post.user else f"id:{post.id}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") < share * 2**64


def _tags(post: Post) -> list[str]:
    return [tag for tag in map(normalise, post.hashtags) if tag]


def _vocabulary(posts: Path, stop: Iterable[str], **options) -> Vocabulary:
    table = posts / "synonyms.tsv"
    synonyms = read_synonyms(table) if table.is_file() else {}
    stop = {tag for tag in map(normalise, stop) if tag}
    return choose(map(_tags, read_manifest(posts, Post)), synonyms=synonyms, stop=stop, **options)


def _squared(size: int, pair: tuple[Record, bytes]) -> tuple[Record, bytes | BadImage]:
    record, data = pair
    try:
        return record, square(data, size)
    except BadImage as error:
        return record, error


class Stores:
    """Writes shard folders, and keeps count of images per store and split, of targets and of refused images."""

    def __init__(self, size: int, shard_mb: int, progress: Progress | None):
        self.size, self.shard_mb, self.progress = size, shard_mb, progress
        self.images: dict[str, Counter] = {}
        self.refused: list[dict] = []
        self.targets = 0

    def _records(
        self, store: str, pairs: Iterable[tuple[Record, bytes]], place: Callable, total: int
    ) -> Iterator[tuple[str, str, bytes, list[int]]]:
        for done, (record, data) in enumerate(prefetch(partial(_squared, self.size), pairs, threads=2), 1):
            if isinstance(data, BadImage):
                entry = {"store": store, "id": record.id, "image": record.image, "reason": str(data)}
                self.refused.append(entry)
            else:
                split, targets = place(record)
                self.images[store][split] += 1
                self.targets += len(targets)
                yield record.id, split, data, targets
            if self.progress:
                self.progress(done, total, store)

    def posts(
        self, source: Path, folder: Path, vocabulary: Vocabulary, min_tags: int, holdout: float
    ) -> tuple[int, int]:
        """Writes the pretraining shards; returns (posts read, posts left out for fewer than `min_tags` tags)."""
        encode = vocabulary.encoder()
        codes = {post.id: encode(_tags(post)) for post in read_manifest(source, Post)}
        useful = {key for key, tags in codes.items() if len(tags) >= min_tags}
        pairs = (pair for pair in read_store(source, Post) if pair[0].id in useful)

        def place(post: Post) -> tuple[str, list[int]]:
            return "val" if held_out(post, holdout) else "train", codes[post.id]

        self._write("hashtags", folder, pairs, place, vocabulary.names, len(useful))
        return len(codes), len(codes) - len(useful)

    def labels(self, source: Path, folder: Path) -> int:
        """Writes one target set, its classes in alphabetical order; returns the number of classes."""
        labels = Counter(label.label for label in read_manifest(source, Label))
        classes = {name: i for i, name in enumerate(sorted(labels))}

        def place(label: Label) -> tuple[str, list[int]]:
            return label.split, [classes[label.label]]

        pairs = read_store(source, Label)
        self._write(f"targets/{folder.name}", folder, pairs, place, list(classes), labels.total())
        return len(classes)

    def _write(self, store: str, folder: Path, pairs: Iterable, place: Callable, names: list[str], total: int) -> None:
        self.images[store] = Counter()
        records = self._records(store, pairs, place, total)
        write_shards(folder, records, names, self.size, self.shard_mb << 20)


def build(
    data: Path,
    out: Path,
    size: int = 32,
    min_posts: int = 20,
    max_tags: int = 1000,
    min_tags: int = 1,
    holdout: float = 0.05,
    stop: Sequence[str] = (),
    misspellings: bool = True,
    merged: bool = True,
    shard_mb: int = 64,
    progress: Progress | None = None,
) -> dict:
    """data/posts and each data/targets/<name> become shards of `size` px below `out`, with vocabulary and report.

    Posts keep their tags within the vocabulary and need `min_tags` of them; `holdout` is the share of validation.
    Bad images are listed in out/quarantine.jsonl. Returns what is in out/summary.json.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").unlink(missing_ok=True)  # written last, it says that the rest is whole
    choice = {"min_posts": min_posts, "max_size": max_tags, "misspellings": misspellings, "merged": merged}
    vocabulary = _vocabulary(data / "posts", stop, **choice)
    stores = Stores(size, shard_mb, progress)
    posts, near_empty = stores.posts(data / "posts", out / "hashtags", vocabulary, min_tags, holdout)
    kept = stores.images["hashtags"].total()
    summary = {"posts": posts, "near_empty_dropped": near_empty, "posts_kept": kept}
    summary |= {"hashtags": len(vocabulary.names), "mean_hashtags": round(stores.targets / max(kept, 1), 3)}
    summary["zipf_exponent"] = round(zipf_exponent(vocabulary.counts), 3)
    with replacing(out / "targets") as targets:
        folders = sorted(path for path in (data / "targets").glob("*") if path.is_dir())
        summary["classes"] = {path.name: stores.labels(path, targets / path.name) for path in folders}
    summary["bad_images"] = len(stores.refused)
    summary["images"] = {store: dict(sorted(counts.items())) for store, counts in stores.images.items()}
    _write_texts(out, vocabulary, summary, stores.refused)
    return summary


def _write_texts(out: Path, vocabulary: Vocabulary, summary: dict, refused: list[dict]) -> None:
    forms = merged_forms(vocabulary)
    with (out / "vocabulary.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["hashtag", "posts", "merged_forms"])
        for name, count in zip(vocabulary.names, vocabulary.counts, strict=True):
            table.writerow([name, count, " ".join(forms[name])])
    lines = "".join(map(json_line, refused))
    path = out / "quarantine.jsonl"
    path.write_text(lines, encoding="utf-8") if lines else path.unlink(missing_ok=True)
    zipf_plot(vocabulary.counts, out / "zipf.png")
    write_report(out / "report.md", vocabulary, summary)
    (out / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
