"""Do the design spaces of the RegNet paper stand in its order at this scale? CIFAR-10, a small
flop band, few epochs.

    make repro RECIPE=spaces        (or: python -m benchmarks.spaces [--trials 32] [--epochs 5]
    [--workers 2])

AnyNetXA to E and RegNetX, so many networks of each drawn at random within one band and trained in
one regime by the stage search, whose results are then compared by flows.tools.compare. The searches
run in a clone of this repository's HEAD; repeated, the command goes on there.
"""

import argparse
import json
import os
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from benchmarks.clone import checkout, committed, git, overlaid, python
from benchmarks.packs import FOLDER, check
from benchmarks.photographs_data import WORDNET, versioned
from benchmarks.study import preamble
from engine.measure.twosample import mean_difference
from flows.cli.command import user_errors
from flows.running import settings
from flows.tools.comparison import TABLES, Searches, differences, draw, overview, read_searches

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
ABOUT = """Radosavovic et al. 2020 (arXiv 2003.13678), section 3.2: each space of AnyNetXA to E is
part of the one before, and none is worse: sharing bottleneck ratios (B) and group widths (C) costs
nothing, widths that grow (D) and depths that grow (E) help much; RegNetX is better still. There:
500 networks of 360 MF each, 10 epochs of ImageNet."""
BODY = {"flops": [1.0e6, 1.5e6], "resolution": 32, "stem_width": 16, "stem_stride": 2}
SMALL = {
    "depth": [4, 16],
    "w_0": [8, 64],
    "w_a": [4, 64],
    "w_m": [1.5, 3],
    "group_width": [1, 32],
}  # RegNetX's ranges
SPACES = {f"AnyNetX{letter}": {"name": f"anynetx{letter.lower()}"} for letter in "ABCDE"}
SPACES |= {"RegNetX": {"name": "regnetx"} | SMALL}
REFERENCE = "candidates/resnet.yaml"
NETWORK = {"name": "resnet", "depths": [1, 1, 1], "block": "basic", "width": 10}
NETWORK |= {"stem": "simple", "stem_stride": 2, "stem_width": 10}
REGIME = {
    "data": "targets/cifar10",
    "objective": {"name": "supervised", "scale": [0.6, 1]},
    # Radosavovic et al. 2020: a rate of 0.1, half a cosine, weight decay 5e-5
    "recipe": {
        "batch": 64,
        "rate": 0.4,
        "warmup": 0.5,
        "schedule": "cosine",
        "weight_decay": 5.0e-5,
    },
    "reference": REFERENCE,
    "sampler": {"name": "RandomSampler"},
}
DATA = {  # the posts are there because the stage corpus wants some; nothing is trained on them
    "posts": {"per_class": 10, "levels": 3, "tags": {"seed": 0, "users": 100}},
    "labels": {"train": 500, "val": 500, "test": 10},
}


def replaced(work: Path, section: dict[str, Any]) -> None:
    """Put these keys into the clone's section `search`, in place of what they held."""
    overlaid(work, {"search": dict.fromkeys(section)})
    overlaid(work, {"search": section})
    (work / REFERENCE).write_text(yaml.safe_dump(NETWORK, sort_keys=False))


def searched(work: Path, name: str, section: dict[str, Any], workers: int) -> Path:
    """The results of one search, made unless they are there."""
    kept = work / "spaces" / name
    if not (kept / "trials.jsonl").exists():
        replaced(work, section | {"space": SPACES[name] | BODY})
        kind = {"backbone": "regnet" if name == "RegNetX" else "anynet"}
        taken_over = {"pretrain": {"winner-hashtags": kind}}
        overlaid(work, {"candidates": {"winner": kind}} | taken_over)
        os.environ["TAGDAG_SEARCHERS"] = str(workers)
        python(work, "flows.search")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(work / settings.OUT / "search", kept)
    return kept


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def verdict(searches: Searches) -> list[str]:
    """Of each step of the paper's order, whether the later space is better here."""
    lines, names = [], list(searches)
    for worse, better in [*pairwise(names), (names[0], names[-1])]:
        mean, low, high = mean_difference(searches[worse].of("error"), searches[better].of("error"))
        said = "does not show"
        if high < 0:
            said = "shows"
        elif low > 0:
            said = "the opposite shows"
        points = f"{mean:+.2f} points, {low:+.2f} to {high:+.2f}"
        lines.append(f"- {better} better than {worse}: {said} ({points})")
    return lines


def write(searches: Searches, command: str, commit: str) -> None:
    """benchmarks/results/spaces.md and .png; the text is printed too."""
    lines = preamble("Design spaces compared", command, tagdag=commit[:12], body=json.dumps(BODY))
    lines += [
        f"| regime | {json.dumps(REGIME['recipe'])}, 5,000 images of CIFAR-10, 5,000 held out |",
        "",
        ABOUT,
        "",
    ]
    for (title, (head, note)), cells in zip(
        TABLES.items(), (overview(searches), differences(searches, "flops")), strict=False
    ):
        lines += [f"## {title}", "", *markdown(head, cells), "", note.format(by="flops"), ""]
    lines += [
        "## The paper's order",
        "",
        *verdict(searches),
        "",
        "![error distributions](spaces.png)",
        "",
    ]
    draw(RESULTS / "spaces.png", searches, "flops", {})
    (RESULTS / "spaces.md").write_text("\n".join(lines))
    print("\n".join(lines))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=32, help="networks of each space")
    parser.add_argument("--epochs", type=float, default=5, help="of 5,000 images each")
    parser.add_argument("--workers", type=int, default=2, help="networks trained side by side")
    parser.add_argument("--packs", type=Path, default=FOLDER, help="folder of the data packs")
    parser.add_argument(
        "--work", type=Path, default=ROOT / settings.STATE / "spaces", help="the clone"
    )
    given = parser.parse_args()
    with user_errors():
        check(given.packs)
        work = given.work.resolve()
        checkout(ROOT, work)
        section = REGIME | {"trials": given.trials, "epochs": given.epochs}
        # of stages that do not run
        others = {"tasks": {"scenes": {"data": "targets/cifar10"}}}
        corpus = {"min_posts": 5, "wordnet": f"data/{WORDNET}"}
        overlaid(work, {"corpus": corpus} | others)
        replaced(work, section | {"space": SPACES["RegNetX"] | BODY})
        versioned(given.packs, work, "cifar10", DATA)
        committed(work, "spaces")
        python(work, "flows.pipeline", "corpus")
        folders = [str(searched(work, name, section, given.workers)) for name in SPACES]
        shown = (
            " ".join(["python -m benchmarks.spaces", *sys.argv[1:]])
            if sys.argv[1:]
            else "make repro RECIPE=spaces"
        )
        searches = read_searches(folders, list(SPACES), "flops")
        write(searches, shown, git(work, "rev-parse", "HEAD~1"))


if __name__ == "__main__":
    main()
