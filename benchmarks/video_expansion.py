"""A tiny X2D expanded step by step on drawn motions, every candidate trained.

`python -m benchmarks.video_expansion [--factor 4] [--work DIR] [--out]`. Feichtenhofer 2020, "X3D",
arXiv 2004.04730, section 3.2, at the scale of minutes: the network begins with one frame, of which
no class of motion can be told (corpus/drawn/moving.py), so that only an axis of time can pay at
first. Runs in a clone of this repository's HEAD; run again, it goes on there.
"""

import argparse
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import yaml

from benchmarks.clone import checkout, overlaid, python
from benchmarks.overlays import ROOT, sections_of
from benchmarks.video import TASK, drawn
from engine.core.cores import processor
from flows.cli.command import user_errors

RESULTS = Path(__file__).parent / "results/video_expansion.md"
WORK = ROOT / ".tagdag" / "video_expansion"
MOTIONS = {"posts": 60, "per_class": 60, "size": 32, "frames": 24, "rate": 15}
X2D = {
    "name": "x3d",
    "width": 1.0,
    "depth": 1.0,
    "bottleneck": 1.0,
    "depths": [1, 1, 1],
    "stem_stride": 1,
    "head_width": 64,
}
CLIPS = {"name": "clips", "frames": 1, "every": 8, "size": 16, "scale": [0.7, 1], "flip": 0}
SEARCH = {
    "reference": "candidates/x3d.yaml",
    "data": f"targets/{TASK}",
    "objective": {"name": "supervised", "views": CLIPS},
    "epochs": 12,
    "recipe": {
        "batch": 32,
        "rate": 0.005,
        "scaling": "none",
        "start": 0,
        "warmup": 1,
        "schedule": "cosine",
        "optimizer": {"name": "adamw"},
        "weight_decay": 0.05,
    },
}


def prepared(work: Path) -> None:
    """A clone with motions in its shards and the network in small.yaml."""
    checkout(ROOT, work)
    # the recipe's names fit each other; what is laid over a section keeps its other keys
    recipe, _ = sections_of(ROOT / "recipes" / "video.yaml", (), ("motions",))
    for overlay in (recipe, {"search": dict.fromkeys(("objective", "recipe"))}):
        overlaid(work, overlay)
    overlaid(work, {"search": SEARCH, "corpus": {"min_posts": 2, "holdout": 0.2}})
    drawn(Path(), work, TASK, {"motions": MOTIONS})
    if not (work / "out" / "corpus").exists():
        python(work, "flows.corpus")
    (work / "small.yaml").write_text(yaml.safe_dump(X2D, sort_keys=False))


def expanded(work: Path, command: list[str]) -> str:
    """What the command prints; SystemExit with its code where it fails, for it has said why."""
    called = [sys.executable, "-m", *command]
    done = subprocess.run(called, cwd=work, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def page(work: Path, command: list[str], printed: str, minutes: float) -> str:
    """The table with what a reader needs to have it again."""
    videos = 10 * MOTIONS["per_class"]
    half = 100 * 1.96 * (0.75 * 0.25 / videos) ** 0.5
    about = [
        "# A tiny X2D expanded on drawn motions",
        "",
        "`python -m benchmarks.video_expansion --out`. " + (__doc__ or "").split("`. ")[1].strip(),
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {minutes:.0f} minutes of two cores; "
        f"{videos} labelled videos to train on, as many to measure, {SEARCH['epochs']} epochs, one "
        f"seed. Chance is an error of 90 %; of so many videos an error of 75 % is known to ± "
        f"{half:.1f} % (95 %), so that smaller differences say nothing.",
        "",
        f"In the clone: `python -m {' '.join(command)}`, of",
        "",
        f"```yaml\n{(work / 'small.yaml').read_text()}```",
        "",
        f"with `search.objective.views: {CLIPS}` of params.yaml.",
        "",
        f"```\n{printed}```",
        "",
        f"```yaml\n{(work / 'expanded.yaml').read_text()}```",
    ]
    return "\n".join(about) + "\n"


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--factor", type=float, default=4, help="multiply-adds over the start's")
    command.add_argument("--work", type=Path, default=WORK, help="folder of the clone")
    command.add_argument("--out", action="store_true", help=f"write {RESULTS.name}")
    given = command.parse_args()
    with user_errors():
        began = time.monotonic()
        prepared(given.work)
        call = ["flows.searching.expand", "small.yaml", "--factor", f"{given.factor:g}"]
        printed = expanded(given.work, call)
        minutes = (time.monotonic() - began) / 60
        print(printed)
        if given.out:
            told = page(given.work, call, printed, minutes)
            RESULTS.write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
