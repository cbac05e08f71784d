"""Videos imported and decoded, networks trained on their clips: killed at random moments and run
again, do they end with the bytes of an undisturbed run?

    python -m benchmarks.kills_video [SUBJECT ...] [--kills 5] [--seed 0] [--out]

`import` puts drawn video posts with some bad files among them into a store, `corpus` decodes the
store into shards, `hashtags` trains on the posts' hashtags, `moco` on four clips of each without
them. Each is a process of its own, killed -9 at a moment drawn uniformly over the undisturbed one's
time, start-up included, and started again by the same command. Exits with 1 where anything differs.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from benchmarks.kills import ROOT
from benchmarks.kills_methods import LEFT, Method, hashes, line, place_of, struck
from corpus.build import build_corpus
from corpus.drawn.motions import Film, write_source
from corpus.sources.source import source_rows
from corpus.store.ingest import ingest
from engine.core.network import network, save_network
from engine.core.samples import Rows, open_split
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from tests.support.corpora import section

RESULT = ROOT / "benchmarks" / "results" / "kills_video.md"
MODULE = "benchmarks.kills_video"
POSTS, FILM, EPOCHS = 150, Film(32, 24, 15), 6
RECIPE = Recipe(batch=16, rate=0.05, per=16, warmup=1)
BACKBONE = {"name": "videoresnet", "depths": [1, 1], "width": 8, "stem_width": 8}
BACKBONE |= {"stem_middle": 8, "stem_kernel": 3}
CLIPS = {"name": "clips", "frames": 4, "every": 2, "flip": 0}
OBJECTIVES = {
    "hashtags": {"name": "hashtags", "views": CLIPS},
    "moco": {"name": "moco", "hidden": 32, "width": 16, "queue": 64, "splits": 2}
    | {"views": CLIPS | {"clips": 4, "jitter": [0.4, 0.4, 0.4, 0.1]}},
}
SETTINGS = {"size": 32, "frame_rate": FILM.rate, "min_posts": 5, "max_tags": 20, "holdout": 0.1}
SHARD = 200_000  # bytes of a shard of the store, so that there are several
STARTS = {"truncated": 900, "empty": 0}  # of each bad file, bytes of a video that it has


def source(folder: Path) -> Path:
    """Drawn video posts, of which every fiftieth is bad; the table of them."""
    if not folder.exists():
        part = folder.with_suffix(".part")
        write_source(part, POSTS, 1, film=FILM)
        files = sorted((part / "posts").glob("*.mp4"))[::50]
        for number, file in enumerate(files):
            start = [*STARTS.values()][number % len(STARTS)]
            file.write_bytes(file.read_bytes()[:start])
        part.rename(folder)
    return folder / "posts" / "posts.csv"


def imported(folder: Path, shared: Path) -> None:
    """Posts into folder/data, and what was counted."""
    told = {"left": Counter(), "about": {}}
    rows = source_rows(str(source(shared)), None, "video_posts", folder / "spool", **told)
    how = {"kind": None, "posts_kind": "video_posts", "shard_bytes": SHARD, "threads": 2}
    found = ingest(rows, folder / "data", "posts", **how)
    counts = {"there": found.kept + found.already, "refused": dict(found.refused)}
    (folder / "counts.json").write_text(json.dumps(counts, sort_keys=True))


def built(folder: Path, data: Path) -> None:
    """Shards of a store in folder/out, by a cache in folder/cache."""
    # as DVC does before it runs the stage: a kill leaves a scratch folder there
    shutil.rmtree(folder / "out", ignore_errors=True)
    build_corpus(data, folder / "out", folder / "cache", section(**SETTINGS))


def trained(name: str, folder: Path, shards: Path) -> None:
    """A network of the posts' clips, from its last state on."""
    initialise(0)
    posts = open_split(shards / "hashtags", "train")
    sections = {"backbone": BACKBONE, "objective": OBJECTIVES[name], "head": {"name": "linear"}}
    module = network(**sections, classes=len(posts.names), names=posts.names)
    training = Training(RECIPE, EPOCHS, state=folder / "state")
    train(module, Rows(posts, module.reads), training)
    save_network(folder / LEFT, module, sections, posts.names)


def run(name: str, folder: Path) -> None:
    """What the process does. What comes before it lies in the folder above, whole."""
    before = folder.parents[1]
    if name == "import":
        imported(folder, before / "drawn")
    elif name == "corpus":
        built(folder, before / "data")
    else:
        trained(name, folder, before / "out")


def prepare(work: Path, names: list[str]) -> None:
    """The undisturbed source, store and shards that the subjects begin from."""
    source(work / "drawn")
    if set(names) - {"import"}:
        imported(work, work / "drawn")
    if set(OBJECTIVES) & set(names):
        built(work, work / "data")


def kept(part: str) -> Callable[[Path], dict[str, str]]:
    """A function from a folder to the SHA-256 of each file of a part of it, and of the counts."""

    def files(folder: Path) -> dict[str, str]:
        some = [file for file in (folder / part).rglob("*") if file.is_file()]
        some += folder.glob("counts.json")
        names = [file.relative_to(folder).as_posix() for file in some]
        sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in some]
        return dict(zip(names, sums, strict=True))

    return files


def reached(folder: Path) -> str:
    """How many tars an import or a build had written when it was killed."""
    done = len([file for file in folder.rglob("*.tar") if "spool" not in file.parts])
    return f"{done} tars" if done else "start-up"


SUBJECTS: dict[str, tuple[Callable[[Path], dict[str, str]], Callable[[Path], str]]] = {
    "import": (kept("data"), reached),
    "corpus": (kept("out"), reached),
    "hashtags": (hashes, place_of),
    "moco": (hashes, place_of),
}


def table(found: list[Method], command: str) -> str:
    """The result as Markdown."""
    head = f"{os.cpu_count()} cores; torch {torch.__version__}; {date.today()}; `{command}`"
    lines = [
        "# Kills of imports of videos and of trainings on clips\n",
        f"{head}\n",
        f"{POSTS} video posts, of which every fiftieth is a bad file. Exact: the store's files and "
        "counts (import), all files of out/corpus (corpus), the last state and the exported weights"
        f" of {EPOCHS} epochs (hashtags, moco) have the bytes of an undisturbed run.\n",
        "| subject | kills | exact | undisturbed, s | killed at, and what there was then |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(line, found)]) + "\n"


def main() -> None:
    """Kill, compare, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", help="default: all")
    parser.add_argument("--kills", type=int, default=5, help="of each subject")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.subjects or list(SUBJECTS)
    unknown = sorted(set(names) - set(SUBJECTS))
    if unknown:
        parser.error(f"no such subject: {unknown[0]} (there are {', '.join(SUBJECTS)})")
    if given.train:
        run(names[0], given.train)
        return
    draws, found = random.Random(given.seed), []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work, names)
        for name in names:
            found.append(struck(name, work, given.kills, draws, MODULE, *SUBJECTS[name]))
            print(f"{name}: {found[-1].exact} of {given.kills} exact", flush=True)
            shutil.rmtree(work / name)
    options = f"--kills {given.kills} --seed {given.seed}"
    text = table(found, " ".join([f"python -m {MODULE}", *given.subjects, options]))
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")
    raise SystemExit(any(each.faults for each in found))


if __name__ == "__main__":
    main()
