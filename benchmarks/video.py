"""The whole DAG on videos: drawn motions posted with hashtags, then ten motions with few labels,
tested on thirty views of each video, beside networks that see no order.

    make repro RECIPE=video        (or: python -m benchmarks.video [--quick] [-S
    tasks.*.seeds=[0]])

No single frame of a motion tells its class, nor do its frames without their order tell it from its
opposite (corpus/drawn/moving.py): a network of single frames has to fail, and C2D, which averages
frames, to tell more than a half. Needs no data pack. The DAG runs in a clone of this repository's
HEAD; run again, it goes on there.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.clone import python
from benchmarks.overlays import ROOT, Made, Sections, Study, head, main
from benchmarks.selfsup_report import listed, row, spread
from corpus.drawn.motions import FILM, MOTIONS, Film, write_source
from engine.core.build import options
from engine.core.digest import digest
from flows.measuring.summary import SCRATCH, pretraining_name
from flows.reports.models.words import gain_line
from flows.running import settings

TASK, FRAME, CONTROL = "motions", "one-frame", "c2d"
CHANCE = 100 / len(MOTIONS)
QUICK = (
    *("motions.posts=200", "motions.per_class=6", "corpus.min_posts=2", "pretrain.*.epochs=1"),
    *("pretrain.*.recipe.warmup=0", "tasks.*.epochs=2", "tasks.*.recipe.warmup=0"),
    *("tasks.*.labels=[4]", "tasks.*.seeds=[0, 1]", "tasks.*.grid.rate=[0.003]"),
    *("tasks.*.policy.clips=2", "tasks.*.policy.crops=1", "evaluate.runs=3"),
)
ABOUT = f"""Top-1 % of the test videos, the mean over seeds (95 % interval over seeds and videos).
Chance is {CHANCE:.0f} %: a network is above it where its interval is. C2D, the control, has no
kernel over time: it sees the frames of a clip without their order. Each pretraining ran once."""


def videos(
    out: Path,
    posts: int = 2000,
    per_class: int = 10,
    size: int = FILM.size,
    frames: int = FILM.frames,
    rate: int = FILM.rate,
    seed: int = 0,
) -> None:
    """Draw the videos and their tables into a folder."""
    write_source(out, posts, per_class, seed, Film(size, frames, rate))


def drawn(packs: Path, work: Path, target: str, sections: Sections) -> None:
    """Posts and labelled videos into the clone's data/, unless the same code has put them there."""
    own = sections["motions"]
    key = digest(own, target, Path(__file__), ROOT / "corpus")
    made, data = work / settings.STATE / "motions.key", work / "data"
    if made.exists() and made.read_text() == key and data.exists():
        return
    made.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "videos"
        videos(out, **options(videos, own, "motions", ("out",)))
        # whatever an earlier version of this recipe left there
        shutil.rmtree(data, ignore_errors=True)
        add = ("flows.version", "add")
        posts = ("--posts", str(out / "posts" / "posts.csv"), "--posts-kind", "video_posts")
        labels = ("--labels", str(out / "labels" / "labels.csv"), "--kind", "clips")
        python(work, *add, *posts)
        shutil.copyfile(out / "synonyms.tsv", data / "posts" / "synonyms.tsv")
        python(work, *add, *labels, "--target", target)
    made.parent.mkdir(exist_ok=True)
    made.write_text(key)


def above(record: dict[str, Any]) -> str:
    """Whether a model tells motions better than chance."""
    if record["low"] is None:
        return "one seed"
    return "yes" if record["low"] > CHANCE else "no"


def table(records: list[dict[str, Any]]) -> list[str]:
    """A row per model."""
    lines = listed(["network", "pretraining", "top-1 % (95 %)", "per seed", "above chance"])
    for record in records:
        seeds = ", ".join(f"{value:.1f}" for value in record["by_seed"])
        name = pretraining_name(record)
        cells = [record["candidate"], "none" if name == SCRATCH else name, spread(record, "")]
        lines.append(row([*cells, seeds, above(record)]))
    return lines


def page(made: Made) -> str:
    """The result as Markdown: how it came about, what came out."""
    records, frame = (made.evaluated("records", task) for task in (TASK, FRAME))
    lines = head("The whole DAG on videos", made, records[0]["device"])
    lines += ["", ABOUT, "", "## Clips of 8 frames, 30 views", "", *table(records), ""]
    lines += [f"- {gain_line(gain)}" for gain in made.evaluated("gains", TASK)]
    about = f"The control: networks that see one frame at a time. Chance is {CHANCE:.0f} %."
    lines += ["", "## One frame at a time, 30 views", "", about, "", *table(frame)]
    return "\n".join(lines) + "\n"


STUDY = Study(
    "video",
    __doc__.split("\n\n")[0],
    QUICK,
    page,
    task=TASK,
    packs=(),
    told={"motions": "drawn videos"},
    data=drawn,
)

if __name__ == "__main__":
    main(STUDY)
