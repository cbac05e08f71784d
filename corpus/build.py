"""The data store in, training shards out: the tags, then the pixels, then what is dropped.

Same data, same bytes.
"""

import csv
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.checksums import write_checksums
from corpus.duplicates.dedupe import POLICIES, Dropped, find_duplicates
from corpus.hashtags.canonical import RULES, read_canon
from corpus.progress import Progress
from corpus.report.account import account
from corpus.report.findings import Findings
from corpus.report.funnel import Masks
from corpus.report.page import write_report
from corpus.report.plots import write_plots
from corpus.sources.rows import number_of
from corpus.splits import TEST_SHARE, VAL_SHARE
from corpus.store.indexing import IndexWriter
from corpus.store.posts import json_line
from corpus.store.read import read_table, shards_of
from corpus.store.squares import Store, forget_unused, link_tars, open_store
from corpus.store.write import replacing
from corpus.tags import decisions
from corpus.tags.tagging import Tagging, classes_per_post, tag_posts
from corpus.targets import LABELS, write_labelled

log = logging.getLogger("tagdag")
PEOPLE = {"id": pa.string(), "user": pa.string()}


def for_validation(key: str, user: str | None, share: float) -> bool:
    """Whether a post is for validation: decided by its user where known, so that nobody is on
    both sides.
    """
    return number_of(f"user:{user}" if user else f"id:{key}") < share * 2**64


def write_posts(
    store: Store,
    out: Path,
    names: list[str],
    keep: np.ndarray,
    flat: np.ndarray,
    sizes: np.ndarray,
    holdout: float,
) -> Counter[str]:
    """Writes the pretraining shards of the posts to `keep`, bool (posts,), with their classes.

    Images per split.
    """
    counts, first, ends = Counter(), 0, np.cumsum(sizes)
    with replacing(out) as part:
        with IndexWriter(part, names, store.side.size) as index:
            for one in store.squares:
                people = read_table(store.folder, one.shard, PEOPLE)
                rows = slice(first, first + len(people))
                pairs = zip(people["id"].to_pylist(), people["user"].to_pylist(), strict=True)
                splits = [
                    "val" if for_validation(key, user, holdout) else "train" for key, user in pairs
                ]
                classes = (
                    flat[ends[first] - sizes[first] : ends[rows.stop - 1]]
                    if len(people)
                    else flat[:0]
                )
                images = (
                    one.table()
                    .append_column("id", people["id"])
                    .append_column("split", pa.array(splits))
                )
                index.add(int(one.shard.name), keep[rows], images, classes, sizes[rows])
                counts.update(np.array(splits)[keep[rows]].tolist())
                first = rows.stop
        write_checksums(part, link_tars(store, part))
    return counts


def class_names(folders: Sequence[Path]) -> list[str]:
    """The classes of all target sets, for the vocabulary rule `targets`."""
    labels = (read_table(f, shard, LABELS)["label"] for f in folders for shard in shards_of(f))
    return sorted({name for column in labels for name in column.unique().to_pylist()})


def kept_posts(
    posts: Store, targets: list[Store], enough: np.ndarray, duplicates: str, show: Progress
) -> tuple[Masks, Dropped]:
    """Which posts are kept: those with a usable image and `enough` classes, bool (posts,), that
    repeat no image.
    """
    usable = np.zeros(len(enough), bool)
    usable[posts.side.usable] = True
    dropped = find_duplicates(posts, targets, duplicates, usable & enough, show)
    keep = usable & enough
    keep[dropped.rows] = False
    return Masks(usable, usable & enough, keep), dropped


def build_corpus(
    data: Path,
    out: Path,
    cache: Path,
    size: int = 32,
    vocabulary: str = "frequent",
    min_posts: int = 20,
    max_tags: int = 1000,
    user_cap: int | None = None,
    stop: Sequence[str] = (),
    everyday: bool = True,
    wordnet: str | None = None,
    senses: str = "same",
    lemmas: bool = True,
    merged: bool = True,
    misspellings: bool = True,
    min_tags: int = 1,
    noise: float = 0.0,
    duplicates: str = "drop",
    holdout: float = 0.05,
    val_share: float = VAL_SHARE,
    test_share: float = TEST_SHARE,
    progress: Progress | None = None,
) -> dict:
    """data/posts and each data/targets/<name> become shards of `size` px below `out`, with
    vocabulary and report.

    Posts keep their tags within the vocabulary and need `min_tags` of them; `holdout` is the share
    of validation. A labelled set without a val or test split gets one out of its train images:
    `val_share`, `test_share` of them. Square images are kept in `cache`. Bad images are listed in
    out/quarantine.jsonl, duplicates in out/duplicates.parquet. Returns what is in out/summary.json.
    """
    settings = {
        key: value
        for key, value in locals().items()
        if key not in ("data", "out", "cache", "progress")
    }
    for count in ("size", "min_posts", "max_tags", "min_tags"):
        if settings[count] < 1:
            raise ValueError(f"{count}: {settings[count]} is too few: give 1 or more")
    if duplicates not in POLICIES:
        raise ValueError(f"duplicates: unknown {duplicates!r}; choose one of {', '.join(POLICIES)}")
    shares = {"val": val_share, "test": test_share}
    show = progress or (lambda *_: None)
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").unlink(missing_ok=True)  # written last, it says that the rest is whole
    folders = sorted(
        path for path in (data / "targets").glob("*") if path.is_dir() and path.name[0] != "."
    )
    rules = {key: settings[key] for key in RULES}
    canon = read_canon(data / "posts" / "synonyms.tsv", wordnet, **rules)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        wanted = class_names(folders) if vocabulary == "targets" else []
        tagging = tag_posts(
            data / "posts", Path(scratch), canon, vocabulary, max_tags, user_cap, wanted, show
        )
        flat, sizes = classes_per_post(tagging, noise)
        posts = open_store("hashtags", data / "posts", size, cache, progress)
        targets = [
            open_store(f"targets/{folder.name}", folder, size, cache, progress)
            for folder in folders
        ]
        masks, dropped = kept_posts(posts, targets, sizes >= min_tags, duplicates, show)
        names = tagging.vocabulary.names
        images = {
            "hashtags": write_posts(
                posts, out / "hashtags", names, masks.keep, flat, sizes, holdout
            )
        }
        with replacing(out / "targets") as part:
            sets = {}
            for store in targets:
                sets[store.name] = write_labelled(store, part / store.folder.name, shares)
        images |= {name: found.counts for name, found in sets.items()}
        stores, notes = [posts, *targets], [line for found in sets.values() for line in found.told]
        found = masks, (flat, sizes), dropped, images, notes
        findings = account(data, settings, tagging, stores, *found)
    for line in notes:
        log.warning(line)
    forget_unused(cache, [one for store in (posts, *targets) for one in store.squares])
    pq.write_table(dropped.pairs, out / "duplicates.parquet")
    held = {name: found.held_out for name, found in sets.items() if found.held_out}
    return _write_texts(out, tagging, findings, [posts, *targets], held)


def _write_texts(
    out: Path, tagging: Tagging, findings: Findings, stores: list[Store], held: dict[str, list[str]]
) -> dict:
    """vocabulary.csv, forms.parquet, quarantine.jsonl, report.html, its plots, summary.json."""
    with (out / "vocabulary.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["hashtag", "posts", "merged_forms", "synsets"])
        for name, count in zip(findings.names, findings.counts.tolist(), strict=True):
            forms = " ".join(form.form for form in findings.forms[name])
            table.writerow([name, count, forms, findings.synsets.get(name, "")])
    decisions.write_decisions(out / decisions.FILE, tagging, findings.settings)
    refused = 0
    path = out / "quarantine.jsonl"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for store in stores:
            for row, reason in enumerate(
                reason for one in store.squares for reason in one.table()["reason"].to_pylist()
            ):
                if reason:
                    refused += 1
                    file.write(
                        json_line(
                            {"store": store.name, "id": store.ids[row].as_py(), "reason": reason}
                        )
                    )
    if not refused:
        path.unlink()
    write_report(out / "report.html", findings)
    write_plots(out, findings)
    summary = findings.summary | {"bad_images": refused, "images": findings.images}
    summary |= {"held_out": held, "notes": findings.notes}
    summary["merged"] = {rule: merged._asdict() for rule, merged in findings.merged.items()}
    (out / "summary.json").write_text(
        json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return summary
