"""Drawn videos of moving shapes, to try clips out: `python -m corpus.drawn.motions FOLDER`.

Posts of videos with hashtags, and labelled videos of ten classes: five motions and their opposites.
No single frame tells a class, nor do all frames without their order tell a motion from its
opposite: corpus/drawn/moving.py says why, and paints. motiontags.py has the hashtags. Tables of
both are to be imported; data/ stays as it is.

Frames are compressed each alone, by H.264 without prediction between frames and with a fixed
quantiser: what comes out of a frame is a function of what went in, whatever is before or after it,
so that artefacts carry no motion. Same seed, same bytes, with the same wheel of PyAV.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from corpus.drawn.concepts import synonyms
from corpus.drawn.motiontags import hashtags, motion_synonyms
from corpus.drawn.moving import (
    ACROSS,
    DOWN,
    FACING,
    FASTEST,
    SIZED,
    SLOWEST,
    TURNED,
    Pair,
    start_state,
    states_from,
)
from corpus.drawn.objects import OBJECTS
from corpus.drawn.sample import PREFIX, SPLITS, USERS
from corpus.sources.users import stream, user_of, zipf

POST, TAGS, LABEL = range(OBJECTS + 1, OBJECTS + 4)  # random streams
COLUMNS = {
    "posts": ("id", "video", "hashtags", "user"),
    "labels": ("id", "video", "label", "split"),
}
EACH = (1, 1, 2)  # times the labelled videos of a class: train, val, test


class Motion(NamedTuple):
    """A class: which number of a state changes, in which direction, and what people call that."""

    name: str
    axis: int
    sign: int
    words: tuple[str, ...]


# y grows downwards, and so an angle that grows turns clockwise
MOTIONS = (
    Motion("moves left", ACROSS, -1, ("left", "moving")),
    Motion("moves right", ACROSS, 1, ("right", "moving")),
    Motion("moves up", DOWN, -1, ("up", "moving")),
    Motion("moves down", DOWN, 1, ("down", "moving")),
    Motion("turns clockwise", TURNED, 1, ("clockwise", "spinning")),
    Motion("turns anticlockwise", TURNED, -1, ("anticlockwise", "spinning")),
    Motion("grows", SIZED, 1, ("growing",)),
    Motion("shrinks", SIZED, -1, ("shrinking",)),
    Motion("circles clockwise", FACING, 1, ("clockwise", "orbiting")),
    Motion("circles anticlockwise", FACING, -1, ("anticlockwise", "orbiting")),
)


class Film(NamedTuple):
    """How videos are made: px of a side, number of frames, frames to a second."""

    size: int = 64
    frames: int = 32
    rate: int = 15


FILM = Film()


class Shot(NamedTuple):
    """A video before it is drawn: its looks, and the states int64 (frames, 5) of its frames."""

    pair: Pair
    states: np.ndarray

    def pixels(self) -> np.ndarray:
        """Its frames, uint8 (frames, size, size, 3)."""
        return self.pair.frames(self.states)


def shot(rng: np.random.Generator, motion: Motion, film: Film) -> Shot:
    """A video of a motion: all but what the motion does is drawn as for any other."""
    pair, start = Pair(rng, film.size), start_state(rng)
    step = int(rng.integers(SLOWEST, FASTEST + 1))
    return Shot(pair, states_from(start, motion.axis, motion.sign * step, film.frames))


def encoded(frames: np.ndarray, rate: int) -> bytes:
    """An MP4 of frames uint8 (n, h, w, 3) with even sides, each compressed by itself."""
    import av

    buffer = io.BytesIO()
    alone = {"g": "1", "bf": "0", "qp": "18", "preset": "ultrafast"}
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libx264", rate=rate, options=alone)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


def post_videos(seed: int, posts: int, film: Film) -> Iterator[tuple[dict[str, str], bytes]]:
    """Rows of the table of posts, each with its video."""
    for index in range(posts):
        rng = stream(seed, POST, index)
        motion = MOTIONS[int(rng.integers(len(MOTIONS)))]
        drawn = shot(rng, motion, film)
        rng = stream(seed, TAGS, index)
        user = user_of(seed, zipf(rng, range(USERS), 10))
        seen = [*drawn.pair.shapes, *drawn.pair.colours]
        tags = hashtags(rng, [*motion.words], seen, user)
        name = f"{PREFIX}motion-{index:06d}"
        row = {"id": name, "video": f"{name}.mp4", "hashtags": " ".join(f"#{tag}" for tag in tags)}
        yield row | {"user": user.name}, encoded(drawn.pixels(), film.rate)


def label_videos(seed: int, per_class: int, film: Film) -> Iterator[tuple[dict[str, str], bytes]]:
    """Rows of the table of labels, each with its video: split after split, the classes in turn."""
    for number, (split, times) in enumerate(zip(SPLITS, EACH, strict=True)):
        for index in range(per_class * times * len(MOTIONS)):
            motion = MOTIONS[index % len(MOTIONS)]
            drawn = shot(stream(seed, LABEL, number, index), motion, film)
            name = f"{PREFIX}motion-{split}-{index:05d}"
            row = {"id": name, "video": f"{name}.mp4", "label": motion.name, "split": split}
            yield row, encoded(drawn.pixels(), film.rate)


def write_source(
    folder: Path, posts: int = 2000, per_class: int = 20, seed: int = 0, film: Film = FILM
) -> None:
    """Draws videos and the tables posts/posts.csv, labels/labels.csv into a folder.

    Also synonyms.tsv, of the words of the hashtags. The folder must be empty, and sides even.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; name another folder, or empty it")
    if film.size < 16 or film.size % 2 or film.frames < 1 or film.rate < 1:
        raise ValueError("give an even size of 16 px or more, and 1 frame or more, at 1 a second")
    made = {"posts": post_videos(seed, posts, film), "labels": label_videos(seed, per_class, film)}
    for name, videos in made.items():
        (folder / name).mkdir(parents=True)
        table = folder / name / f"{name}.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS[name], lineterminator="\n")
            rows.writeheader()
            for row, data in videos:
                rows.writerow(row)
                (folder / name / row["video"]).write_bytes(data)
    known = synonyms() | motion_synonyms()
    lines = (f"{form}\t{name}\n" for form, name in known.items())
    (folder / "synonyms.tsv").write_text("".join(lines), encoding="utf-8", newline="\n")


def main(
    folder: Path,
    posts: int = 2000,
    per_class: int = 20,
    size: int = 64,
    frames: int = 32,
    rate: int = 15,
    seed: int = 0,
) -> None:
    """Draw POSTS videos with hashtags into FOLDER, and PER_CLASS labelled ones of each class for
    train, as many for val, twice as many for test.
    """
    try:
        write_source(folder, posts, per_class, seed, Film(size, frames, rate))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    add = "python -m flows.version add"
    print(f"posts: {add} --posts-kind video_posts --posts {folder / 'posts' / 'posts.csv'}")
    labels = folder / "labels" / "labels.csv"
    print(f"labels: {add} --kind clips --target motions --labels {labels}")
    print(f"words of one meaning: {folder / 'synonyms.tsv'}, to be data/posts/synonyms.tsv")


if __name__ == "__main__":
    import typer

    typer.run(main)
