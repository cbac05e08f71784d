"""Stage corpus from top to bottom: the data store in, training shards out. Same data, same bytes.

Read in this order:

1. corpus/tags/tagging.py: the hashtags of all posts, brought to one name each by the rules of
   corpus/hashtags/canonical.py, counted, and chosen as classes by corpus/tags/vocabulary.py.
2. corpus/store/squares.py: every image once, checked, square and small, kept from run to run.
3. corpus/duplicates/dedupe.py: posts that repeat a post or an image of a labelled set, and which
   of them go.
4. corpus/pretraining.py: the shards of the posts that are kept; corpus/targets.py: those of the
   labelled sets, with the splits of corpus/splits.py.
5. corpus/report/account.py: what became of every post and hashtag; corpus/report/page.py tells it.
"""

import csv
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from corpus.duplicates.dedupe import POLICIES, Dropped, find_duplicates
from corpus.hashtags.canonical import RULES, Canon, read_canon
from corpus.pretraining import write_posts
from corpus.progress import Progress, unseen
from corpus.records.record import json_line
from corpus.report.account import account
from corpus.report.filmsets import film_set
from corpus.report.findings import Findings
from corpus.report.funnel import Masks
from corpus.report.objectsets import object_set
from corpus.report.page import write_report
from corpus.report.plots import write_plots
from corpus.report.tagsets import tag_set
from corpus.spread import Spread, in_turn
from corpus.store.classes import class_names, fields_of
from corpus.store.read import kind_of, read_table, shards_of
from corpus.store.squares import Store, forget_unused, open_store
from corpus.store.write import replacing
from corpus.tags import decisions
from corpus.tags.tagging import Tagging, classes_per_post, tag_posts
from corpus.targets import Labelled, write_labelled

log = logging.getLogger("tagdag")


def build_corpus(
    data: Path,
    out: Path,
    cache: Path,
    settings: Mapping[str, Any],
    progress: Progress = unseen,
    spread: Spread = in_turn,
) -> dict[str, Any]:
    """data/posts and each data/targets/<name> become shards below `out`, with a report.

    `settings`: section corpus as a whole; flows/corpus.py has its keys and their defaults. Square
    images are kept in `cache`. What is done shard by shard is done by `spread`, whose kind and
    workers change no byte. Bad images are listed in out/quarantine.jsonl, duplicates in
    out/duplicates.parquet. Returns what is in out/summary.json. ValueError for settings that make
    no sense, or leave no class.
    """
    settings = dict(settings)
    _check(settings)
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").unlink(missing_ok=True)  # written last, it says that the rest is whole
    folders = sorted(path for path in (data / "targets").glob("[!.]*") if path.is_dir())
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        spilled = Path(scratch)
        tagging = _tagged(data / "posts", folders, spilled, settings, progress, spread)
        flat, sizes = classes_per_post(tagging, settings["noise"])

        size = settings["size"]
        made = size, cache, spread, progress, settings.get("frame_rate", 30)
        posts = open_store("hashtags", data / "posts", *made)
        targets = [open_store(f"targets/{f.name}", f, *made) for f in folders]
        stores = [posts, *targets]

        enough = sizes >= settings["min_tags"]
        masks, dropped = kept_posts(posts, targets, enough, settings["duplicates"], progress)
        names, holdout = tagging.vocabulary.names, settings["holdout"]
        kept = write_posts(posts, out / "hashtags", names, masks.keep, flat, sizes, holdout)
        sets = _write_targets(targets, out / "targets", settings)

        images = {"hashtags": kept} | {name: found.counts for name, found in sets.items()}
        notes = [line for found in sets.values() for line in found.told]
        classes = flat, sizes
        findings = account(data, settings, tagging, stores, masks, classes, dropped, images, notes)
        tagged = [store for store in targets if store.kind.joins]
        pages = [tag_set(store.name, out / "targets" / store.folder.name) for store in tagged]
        placed = [store for store in targets if not store.kind.square]
        drawn = [object_set(store.name, out / "targets" / store.folder.name) for store in placed]
        films = [film_set(store) for store in stores if store.kind.media == "video"]
        findings = replace(findings, tag_sets=pages, object_sets=drawn, film_sets=films)
        _write_findings(out, findings, tagging)
    for line in notes:
        log.warning(line)
    forget_unused(cache, [square for store in stores for square in store.squares])
    pq.write_table(dropped.pairs, out / "duplicates.parquet")
    refused = _write_quarantine(out / "quarantine.jsonl", stores)
    held_out = {name: found.held_out for name, found in sets.items() if found.held_out}
    return _write_summary(out / "summary.json", findings, refused, held_out)


def _check(settings: Mapping[str, Any]) -> None:
    for count in ("size", "frame_rate", "min_posts", "max_tags", "min_tags"):
        if settings.get(count, 1) < 1:
            raise ValueError(f"{count}: {settings[count]} is too few: give 1 or more")
    policy = settings["duplicates"]
    if policy not in POLICIES:
        raise ValueError(f"duplicates: unknown {policy!r}; choose one of {', '.join(POLICIES)}")


def _tagged(
    posts: Path,
    folders: Sequence[Path],
    scratch: Path,
    settings: Mapping[str, Any],
    progress: Progress,
    spread: Spread,
) -> Tagging:
    canon = _canon(posts, settings)
    rule, most, cap = settings["vocabulary"], settings["max_tags"], settings["user_cap"]
    wanted = target_classes(folders) if rule == "targets" else []
    return tag_posts(posts, scratch, canon, rule, most, cap, wanted, progress, spread)


def _canon(posts: Path, settings: Mapping[str, Any]) -> Canon:
    rules = {key: settings[key] for key in RULES}
    return read_canon(posts / "synonyms.tsv", settings["wordnet"], **rules)


def target_classes(folders: Sequence[Path]) -> list[str]:
    """The classes of all target sets, for the vocabulary rule `targets`."""
    found: set[str] = set()
    for folder in folders:
        kind = kind_of(folder, f"targets/{folder.name}")
        tables = (read_table(folder, shard, fields_of(kind)) for shard in shards_of(folder))
        found.update(class_names(tables, kind))
    return sorted(found)


def kept_posts(
    posts: Store, targets: list[Store], enough: np.ndarray, duplicates: str, progress: Progress
) -> tuple[Masks, Dropped]:
    """Which posts are kept: those with a usable image and `enough` classes that repeat no image.

    `enough`: bool (posts,).
    """
    usable = np.zeros(len(enough), bool)
    usable[posts.side.usable] = True
    alike = [store for store in targets if store.kind.twins]
    dropped = find_duplicates(posts, alike, duplicates, usable & enough, progress)
    keep = usable & enough
    keep[dropped.rows] = False
    return Masks(usable, usable & enough, keep), dropped


def _write_targets(
    targets: Sequence[Store], out: Path, settings: Mapping[str, Any]
) -> dict[str, Labelled]:
    """All labelled sets at once, in the place of those of an earlier run."""
    shares = {"val": settings["val_share"], "test": settings["test_share"]}
    with replacing(out) as part:
        found = {}
        for store in targets:
            found[store.name] = write_labelled(store, part / store.folder.name, shares)
    return found


def _write_findings(out: Path, findings: Findings, tagging: Tagging) -> None:
    """What people read, and other commands: vocabulary, decisions, report, plots."""
    _write_vocabulary(out / "vocabulary.csv", findings)
    decisions.write_decisions(out / decisions.FILE, tagging, findings.settings)
    write_report(out / "report.html", findings)
    write_plots(out, findings)


def _write_vocabulary(path: Path, findings: Findings) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["hashtag", "posts", "merged_forms", "synsets"])
        for name, count in zip(findings.names, findings.counts.tolist(), strict=True):
            forms = " ".join(form.form for form in findings.forms[name])
            table.writerow([name, count, forms, findings.synsets.get(name, "")])


def _write_quarantine(path: Path, stores: Sequence[Store]) -> int:
    """Lists the images that cannot be used, and returns their number; no file for none."""
    refused = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for store in stores:
            first = 0
            for square in store.squares:
                reasons = square.table()["reason"].to_pylist()
                for row in (row for row, reason in enumerate(reasons) if reason):
                    key = store.ids[first + row].as_py()
                    about = {"store": store.name, "id": key, "reason": reasons[row]}
                    file.write(json_line(about))
                    refused += 1
                first += len(reasons)
    if not refused:
        path.unlink()
    return refused


def _write_summary(
    path: Path, findings: Findings, refused: int, held_out: Mapping[str, list[str]]
) -> dict[str, Any]:
    summary = findings.summary | {"bad_images": refused, "images": findings.images}
    summary |= {"held_out": held_out, "notes": findings.notes}
    summary["merged"] = {rule: merged._asdict() for rule, merged in findings.merged.items()}
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return summary
