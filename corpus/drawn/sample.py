"""The default data set, drawn: `python -m corpus.drawn.sample FOLDER`.

Small scenes, posted by pretend users under noisy hashtags; and a target set, `scenes`, that asks
for combinations (a striped star) that hardly any post shows and no tag names. Read in this order:
concepts.py (the words), scenes.py (what is in a picture), painting.py (its pixels), tagging.py (its
hashtags).

The bytes are the same on every x86-64 machine: each image has its own PCG64 stream.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from corpus.drawn.concepts import CLASSES, synonyms
from corpus.drawn.painting import paint
from corpus.drawn.scenes import compose, concepts_in
from corpus.drawn.tagging import hashtags
from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.progress import Progress, unseen
from corpus.sources.users import USER, stream, user_of, zipf
from corpus.store.read import STORE
from corpus.store.write import write_store

USERS = 400  # whatever the number of posts, so that more posts begin with the same ones
PREFIX = "sample-"  # of every id: tells a drawn store from one that holds somebody's own posts
SCENE, TAGS, TARGET = range(USER + 1, USER + 4)  # random streams
SPLITS = ("train", "val", "test")


def post_records(seed: int, posts: int, size: int) -> Iterator[tuple[Post, bytes]]:
    """Posts, oldest number first, each with its JPEG of size x size."""
    for index in range(posts):
        rng = stream(seed, SCENE, index)
        setting, things = compose(rng)
        image = paint(rng, setting, things, size)
        rng = stream(seed, TAGS, index)
        user = user_of(seed, zipf(rng, range(USERS), 10))
        time = datetime(2023, 1, 1) + timedelta(seconds=int(rng.integers(2 * 365 * 86400)))
        tags = hashtags(rng, concepts_in(setting, things), user)
        name = f"{PREFIX}{index:06d}"
        about = {"hashtags": tags, "user": user.name, "time": time.isoformat()}
        yield Post(id=name, image=f"{name}.jpg", **about), image


def label_records(
    seed: int, labelled: tuple[int, int, int], size: int
) -> Iterator[tuple[Label, bytes]]:
    """For each split its images a class, the classes in turn."""
    for number, (split, count) in enumerate(zip(SPLITS, labelled, strict=True)):
        for index in range(count):
            for place, (shape, texture) in enumerate(CLASSES):
                rng = stream(seed, TARGET, number, place, index)
                image = paint(rng, *compose(rng, (shape, texture)), size)
                name = f"{PREFIX}{split}-{index:04d}-{texture}-{shape}"
                about = {"label": f"{texture} {shape}", "split": split}
                yield Label(id=name, image=f"{name}.jpg", **about), image


def _reported(records: Iterable, total: int, what: str, progress: Progress) -> Iterator:
    for done, record in enumerate(records, 1):
        yield record
        progress(done, total, what)


def is_sample(folder: Path) -> bool:
    """Whether there is nothing yet, or nothing but stores drawn here."""
    stores = folder / "posts", folder / "targets" / "scenes"
    homes = {*stores}
    for store in stores:  # a killed draw may have left parts of them
        homes.update(store.with_name(f".{store.name}.{end}") for end in ("part", "old"))
    for path in folder.rglob("*"):
        ours = path.name in (STORE, "synonyms.tsv") or path.suffix in (".tar", ".jsonl")
        if path.is_file() and not (ours and path.parent in homes):
            return False
    return all(map(is_drawn, stores))


def is_drawn(store: Path) -> bool:
    """Whether every record of a store, if there is one, was drawn here."""
    return all(
        f'"id": "{PREFIX}' in line
        for path in store.glob("*.jsonl")
        for line in path.open(encoding="utf-8")
    )


def draw_sample(
    folder: Path,
    seed: int = 0,
    posts: int = 8000,
    labelled: tuple[int, int, int] = (60, 40, 200),
    size: int = 32,
    progress: Progress = unseen,
) -> None:
    """Draws posts/ and targets/scenes/ of size x size JPEGs into a folder.

    `labelled`: images a class of train, val and test. The same arguments give the same bytes; more
    posts or labels begin with the same ones. ValueError where the folder holds anything but an
    earlier sample, which is replaced.
    """
    if not is_sample(folder):
        raise ValueError(
            f"{folder} holds data that is not a drawn sample; "
            "name an empty folder or move the data away"
        )
    drawn = post_records(seed, posts, size)
    write_store(folder / "posts", _reported(drawn, posts, "posts", progress))
    total = sum(labelled) * len(CLASSES)
    scenes = label_records(seed, labelled, size)
    write_store(folder / "targets" / "scenes", _reported(scenes, total, "scenes", progress))
    lines = (f"{form}\t{name}\n" for form, name in synonyms().items())
    (folder / "posts" / "synonyms.tsv").write_text("".join(lines), encoding="utf-8", newline="\n")


def main(folder: Path, seed: int = 0, posts: int = 8000) -> None:
    """Draw the sample data set into FOLDER."""
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    with Bars() as bars:
        tasks: dict[str, TaskID] = {}

        def show(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        try:
            draw_sample(folder, seed, posts, progress=show)
        except ValueError as error:
            raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    import typer

    typer.run(main)
