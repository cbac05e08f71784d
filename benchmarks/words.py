"""Splitting merged hashtags: exact matches with gold splits and tags per second, against other
splitters in one run.

`python -m benchmarks.words hashtag_segmentation.tsv` reads split, hashtag, gold_segmentations (`|`
between several, any counts). Compared are the lists of words, caseless, letters and digits only,
since a hashtag has no apostrophes; a tag's own `_` and `-` part words. `--fit` writes
corpus/hashtags/words.json from the train part; dev and test are reported only. ekphrasis downloads
its word statistics (~/.ekphrasis): without them its search runs on wordfreq's frequencies.
"""

import argparse
import csv
import json
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from benchmarks.words_fit import Words, fit
from corpus.hashtags.normal import letters
from corpus.hashtags.words import WEIGHTS, Splitter, frequencies
from engine.measure.profile import device_name

Side = Callable[[str], Words]


def words(text: str) -> Words:
    """The words of a split, as they are compared."""
    return tuple(filter(None, map(letters, text.replace("_", " ").replace("-", " ").split())))


def read(path: Path) -> dict[str, list[tuple[str, set[Words]]]]:
    """(tag as typed, its gold splits) per part: train, dev, test.

    ValueError for another kind of file.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or not {"split", "hashtag", "gold_segmentations"} <= rows[0].keys():
        raise ValueError(
            f"{path}: expected the columns split, hashtag, gold_segmentations, separated by tabs"
        )
    parts: dict[str, list] = {}
    for row in rows:
        golds = {words(gold) for gold in row["gold_segmentations"].split("|")}
        parts.setdefault(row["split"], []).append((row["hashtag"], golds))
    return parts


def wordninja_side() -> Side:
    """Unigrams by rank (Zipf's law), no case."""
    import wordninja

    return lambda tag: words(" ".join(wordninja.split(tag)))


def ekphrasis_side() -> tuple[str, Side]:
    """Unigrams and bigrams; upper case is split by a pattern.

    Its own statistics where they are, else wordfreq's.
    """
    from ekphrasis.classes.exmanager import ExManager
    from ekphrasis.classes.segmenter import Pdist, Segmenter

    class Given(Segmenter):
        def __init__(self) -> None:
            total = 10**9
            self.unigrams = {word: round(share * total) for word, share in frequencies().items()}
            self.bigrams, self.N, self.L = {}, total, 20
            self.Pw, self.P2w = Pdist(self.unigrams, total, self.unk_probability), Pdist({}, total)
            self.case_split = ExManager().get_compiled()["camel_split"]

    own = (Path.home() / ".ekphrasis/stats/english").is_dir()
    segmenter = Segmenter(corpus="english") if own else Given()

    def side(tag: str) -> Words:
        segmenter.find_segment.cache_clear()  # its caches hold every tag seen
        segmenter.segment.cache_clear()
        return words(segmenter.segment(tag))

    return ("ekphrasis" if own else "ekphrasis on wordfreq's unigrams"), side


def write(title: str, head: str, lines: list[str], out: Path | None) -> None:
    """Print a table under what it was measured with; the same into `out` as Markdown."""
    text = f"{head}; {device_name(torch.device('cpu'))}, {date.today()}.\n\n" + "\n".join(lines)
    print(text)
    if out:
        out.write_text(f"# {title}\n\n{text}\n", encoding="utf-8")


def measure(
    sides: dict[str, Side], tags: list[str], runs: int
) -> tuple[dict[str, list[Words]], dict[str, list[float]]]:
    """(splits, tags per second of each run) per side, interleaved."""
    splits: dict[str, list[Words]] = {}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            start = time.perf_counter()
            splits[name] = [side(tag) for tag in tags]
            rates[name].append(len(tags) / (time.perf_counter() - start))
    return splits, rates


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("gold", type=Path, help="hashtag_segmentation.tsv")
    parser.add_argument(
        "--fit", action="store_true", help="first fit corpus/hashtags/words.json on the train part"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each side, interleaved")
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    arguments = parser.parse_args()
    parts = read(arguments.gold)
    if arguments.fit:
        WEIGHTS.write_text(json.dumps(fit(parts["train"]), indent=0) + "\n")
    ekphrasis_name, ekphrasis = ekphrasis_side()
    sides = {"wordninja": wordninja_side(), ekphrasis_name: ekphrasis, "tagdag": Splitter()}
    sides = {"the tag unsplit": words, **sides}
    ordered = [(part, *row) for part in ("train", "dev", "test") for row in parts[part]]
    splits, rates = measure(sides, [tag for _, tag, _ in ordered], arguments.runs)
    lines = [
        "| splitter | train % | dev % | test % | tags/s | ratio (min to max) |",
        "| --- " * 6 + "|",
    ]
    for name in sides:
        right = {part: [] for part in ("train", "dev", "test")}
        for split, (part, _, golds) in zip(splits[name], ordered, strict=True):
            right[part].append(split in golds)
        shares = " | ".join(f"{100 * sum(hits) / len(hits):.1f}" for hits in right.values())
        ratios = sorted(a / b for a, b in zip(rates[name], rates["wordninja"], strict=True))
        lines.append(f"| {name} | {shares} | {median(rates[name]):,.0f} |")
        lines[-1] += f" {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
    sizes = ", ".join(f"{len(parts[part]):,} {part}" for part in ("train", "dev", "test"))
    peers = ", ".join(f"{name} {version(name)}" for name in ("wordninja", "ekphrasis", "wordfreq"))
    head = f"Exact matches with gold splits ({sizes}; fitted on train only); {peers}; "
    head += f"{arguments.runs} runs, medians"
    write("Splitting merged hashtags", head, lines, arguments.out)


if __name__ == "__main__":
    main()
