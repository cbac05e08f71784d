"""The default data set, drawn: small scenes posted by pretend users under noisy hashtags, and
labelled combinations.

The tags have the faults Mahajan et al. (2018, arXiv 1805.00932, section 2) describe: Zipf
frequencies, synonyms, several languages, merged words, misspellings, off-topic, wrong and missing
tags. The target set `scenes` asks for combinations (a striped star) that hardly any post shows and
no tag names.

The bytes are the same on every x86-64 machine: each image has its own PCG64 stream, pixels see + -
* / sqrt and comparisons only (vectorised sin, exp and pow differ between processors), sines come
from `math` rounded to 1/4096, sums are sums of integers.
"""

import io
import math
import textwrap
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import typer
from PIL import Image
from rich.progress import Progress, TaskID

from corpus.sources.users import OFF_TOPIC, USER, User, between, stream, user_of, zipf
from corpus.store.posts import Label, Post
from corpus.store.read import STORE, read_store
from corpus.store.write import write_store

# canonical tag first; then what else people write, one language after the other: en / es / de / fr
# / ru
SHAPES = {
    "circle": "circle round disc / círculo redondo / kreis rund / cercle rond / круг",
    "star": "star stars / estrella / stern sterne / étoile / звезда",
    "heart": "heart hearts / corazón / herz herzen / coeur / сердце",
    "square": "square box / cuadrado / quadrat viereck / carré / квадрат",
    "triangle": "triangle triangular / triángulo / dreieck / trigone / треугольник",
    "cross": "cross plus / cruz / kreuz / croix / крест",
    "moon": "moon crescent / luna / mond / lune / луна",
    "ring": "ring donut hoop / anillo / reif / anneau / кольцо",
    "diamond": "diamond rhombus / rombo / raute / losange / ромб",
}
TEXTURES = {
    "striped": "striped stripes stripy / rayas rayado / gestreift streifen / rayures rayé / полоска",
    "dotted": "dotted dots polkadot / lunares puntos / gepunktet punkte / pois / горошек",
    "checked": "checked checks chequered / cuadros / kariert karo / damier carreaux / клетка",
    "ringed": "ringed bullseye ripples / diana / zielscheibe / cible / мишень",
    "plain": "plain minimal / liso / schlicht / uni / однотонный",
}
COLOURS = {
    "red": "red crimson scarlet / rojo / rot / rouge / красный",
    "blue": "blue navy / azul / blau / bleu / синий",
    "yellow": "yellow golden / amarillo / gelb / jaune / жёлтый",
    "green": "green emerald / verde / grün / vert / зелёный",
    "white": "white ivory / blanco / weiss / blanc / белый",
    "pink": "pink fuchsia / rosa / rosa / rose / розовый",
    "orange": "orange tangerine / naranja / orange / orange / оранжевый",
    "purple": "purple violet / morado / lila / mauve / фиолетовый",
    "brown": "brown chocolate / marrón / braun / brun / коричневый",
}
SETTINGS = {
    "beach": "beach seaside sand / playa / strand / plage / пляж",
    "city": "city urban skyline / ciudad / stadt / ville / город",
    "sea": "sea ocean waves / mar / meer / mer océan / море",
    "night": "night midnight / noche / nacht / nuit / ночь",
    "forest": "forest woods trees / bosque / wald / forêt / лес",
    "snow": "snow winter / nieve / schnee / neige / снег",
    "meadow": "meadow field grass / pradera / wiese / prairie / луг",
    "desert": "desert dunes / desierto / wüste / désert / пустыня",
}
COUNTS = {
    "alone": "alone single / único / einzeln / seul / один",
    "pair": "pair two couple / dos pareja / zwei paar / deux paire / пара",
    "trio": "trio three / tres / drei / trois / тройка",
    "quartet": "quartet four / cuatro / vier / quatre / четыре",
}
SIZES = {
    "big": "big huge / grande / gross / grand / большой",
    "small": "small tiny / pequeño / klein / petit / маленький",
}
GROUPS = (  # and how often one of them in the picture is named
    (SHAPES, 0.9),
    (TEXTURES, 0.9),
    (COLOURS, 0.5),
    (SETTINGS, 0.4),
    (COUNTS, 0.12),
    (SIZES, 0.1),
)
FORMS = {
    name: [words.split() for words in line.split("/")]
    for group, _ in GROUPS
    for name, line in group.items()
}
CONCEPT_OF = {
    form: name for name, languages in FORMS.items() for words in languages for form in words
}
MENTIONED = {name: rate for group, rate in GROUPS for name in group}
EMOJI = "❤☀☺☕✈★"
CLASSES = [
    ("star", "striped"), ("star", "dotted"), ("heart", "striped"), ("heart", "checked"), ("cross", "dotted"),
    ("cross", "ringed"), ("triangle", "checked"), ("triangle", "ringed"), ("square", "striped"), ("square", "dotted"),
]  # fmt: skip
RGB = {
    "red": (214, 40, 44), "blue": (44, 84, 214), "yellow": (240, 214, 52), "green": (52, 168, 74),
    "pink": (244, 132, 190), "white": (240, 240, 236), "orange": (244, 138, 36), "purple": (132, 58, 176),
    "brown": (122, 78, 42),
}  # fmt: skip
BACKDROPS = {  # sky above, sky at the horizon, ground, its marks, height of the horizon
    "beach": ((110, 178, 236), (196, 226, 244), (226, 200, 142), (186, 156, 100), 0.6),
    "city": ((146, 158, 178), (206, 204, 206), (92, 94, 104), (226, 206, 120), 0.55),
    "sea": ((130, 180, 226), (176, 212, 236), (24, 86, 150), (92, 158, 206), 0.25),
    "night": ((24, 28, 74), (62, 58, 122), (34, 36, 58), (236, 236, 210), 0.8),
    "forest": ((56, 112, 72), (112, 160, 96), (78, 92, 52), (82, 54, 34), 0.85),
    "snow": ((170, 184, 204), (210, 218, 230), (236, 240, 246), (252, 252, 255), 0.5),
    "meadow": ((120, 190, 240), (204, 230, 242), (104, 166, 62), (226, 108, 150), 0.45),
    "desert": ((240, 176, 104), (250, 216, 156), (206, 140, 74), (170, 104, 54), 0.4),
}
USERS = 400  # whatever the number of posts, so that more posts begin with the same ones
PREFIX = "sample-"  # of every id: tells a drawn store from one that holds somebody's own posts
SUB = 3  # a pixel of an object is 3 x 3 points
SCENE, TAGS, TARGET = range(USER + 1, USER + 4)  # random streams
SPLITS = ("train", "val", "test")
Progressed = Callable[[int, int, str], None]


class Thing(NamedTuple):
    shape: str
    texture: str
    colour: str
    radius: float  # this and the place in parts of the image side
    x: float
    y: float


# ---- what is in a picture


def kind(rng: np.random.Generator) -> tuple[str, str]:
    """Shape and texture of a thing in a post.

    The classes of the target set come up ten times less than by chance.
    """
    while True:
        drawn = zipf(rng, list(SHAPES), 2), zipf(rng, list(TEXTURES), 2)
        if drawn not in CLASSES or rng.random() < 0.1:
            return drawn


def compose(
    rng: np.random.Generator, wanted: tuple[str, str] | None = None
) -> tuple[str, list[Thing]]:
    """A setting and 1 to 4 things in it, all of the kind wanted, else mostly of one kind."""
    count = 1 + bisect((0.72, 0.88, 0.95), rng.random())
    corners = rng.permutation(4)
    shape, texture = wanted or kind(rng)
    colour = zipf(rng, list(COLOURS), 3)
    things = []
    for corner in corners[:count].tolist():
        if wanted is None and rng.random() < 0.08:
            shape, texture = kind(rng)
        if rng.random() < 0.3:
            colour = zipf(rng, list(COLOURS), 3)
        radius = between(rng, 0.36, 0.48) if count == 1 else between(rng, 0.22, 0.28)
        x, y = (
            (0.5, 0.5) if count == 1 else (0.27 + 0.46 * (corner % 2), 0.27 + 0.46 * (corner // 2))
        )
        spread = 0.1 if count == 1 else 0.06
        x, y = x + between(rng, -spread, spread), y + between(rng, -spread, spread)
        things.append(Thing(shape, texture, colour, radius, x, y))
    return zipf(rng, list(SETTINGS), 3), things


def concepts(setting: str, things: list[Thing]) -> list[str]:
    """What a person could name in the picture; never which texture is on which shape."""
    names = [setting, list(COUNTS)[len(things) - 1]]
    names += [name for thing in things for name in (thing.shape, thing.texture, thing.colour)]
    names += ["big"] if things[0].radius > 0.43 else ["small"] if things[0].radius < 0.24 else []
    return list(dict.fromkeys(names))


# ---- pixels


def turn(angle: float) -> tuple[float, float]:
    """Cosine and sine in 1/4096, equal whatever the C library."""
    return round(math.cos(angle) * 4096) / 4096, round(math.sin(angle) * 4096) / 4096


def sides(u: np.ndarray, v: np.ndarray, count: int, apothem: float) -> np.ndarray:
    """How many of the half-planes of a regular polygon a point is in."""
    normals = [turn(2 * math.pi * k / count) for k in range(count)]
    return sum((c * v + s * u < apothem).astype(np.int8) for c, s in normals)


def heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = 1.25 * u, 0.15 - 1.25 * v
    body = u * u + v * v - 1
    return body * body * body < u * u * v * v * v


INSIDE: dict[
    str, Callable[[np.ndarray, np.ndarray], np.ndarray]
] = {  # of the unit disc's points (u, v)
    "circle": lambda u, v: u * u + v * v < 0.75,
    "star": lambda u, v: sides(u, -v, 5, 0.36) >= 4,
    "heart": heart,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.7,
    "triangle": lambda u, v: sides(u, v, 3, 0.48) == 3,
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.9),
    "moon": lambda u, v: (u * u + v * v < 0.9) & ((u - 0.45) * (u - 0.45) + v * v > 0.5),
    "ring": lambda u, v: abs(u * u + v * v - 0.6) < 0.3,
    "diamond": lambda u, v: abs(u) * 1.8 + abs(v) < 1,
}


def odd(values: np.ndarray) -> np.ndarray:
    return np.floor(values) % 2 == 1


def dots(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return u * u + v * v < 0.1


MARKED: dict[
    str, Callable[[np.ndarray, np.ndarray], np.ndarray]
] = {  # where the second colour is; the unit is a stripe
    "plain": lambda u, v: np.zeros(np.broadcast(u, v).shape, bool),
    "striped": lambda u, v: odd(u + 0 * v),
    "dotted": lambda u, v: dots(u / 1.7, v / 1.7),
    "checked": lambda u, v: odd(u) ^ odd(v),
    "ringed": lambda u, v: odd(np.sqrt(u * u + v * v)),
}


def backdrop(rng: np.random.Generator, setting: str, size: int) -> np.ndarray:
    """Sky gradient, ground and the marks peculiar to a setting: (size, size, 3) float64 in
    0..255.
    """
    above, low, ground, mark, horizon = (np.array(value, float) for value in BACKDROPS[setting])
    y, x = (np.arange(size) + 0.5)[:, None] / size, (np.arange(size) + 0.5)[None] / size
    level = horizon + between(rng, -0.12, 0.12)
    phase, specks = rng.random(), rng.random((size, size))
    zigzag = abs((3 * x + phase) % 1 - 0.5)
    level = level - (0.5 * zigzag if setting == "desert" else 0)
    if setting == "city":
        level = level - 0.4 * rng.random(12)[(x * 12).astype(int)]
    on_ground = np.broadcast_to(y > level, (size, size))
    marks = {
        "beach": on_ground & (specks < 0.25),
        "city": on_ground & odd(x * 16 + phase) & odd(y * 12) & (specks < 0.6),
        "sea": on_ground & ((y * 7 + zigzag + phase) % 1 < 0.35),
        "night": ~on_ground & (specks < 0.05),
        "forest": ((x * 5 + phase) % 1 < 0.3) & (y > 0.1),
        "snow": specks < 0.12,
        "meadow": on_ground & (specks < 0.12),
        "desert": on_ground & ((y * 6 + 2 * zigzag + phase) % 1 < 0.3),
    }[setting]
    sky = above + (low - above) * (y / horizon)[..., None]
    canvas = np.where(
        on_ground[..., None], ground * (0.75 + 0.35 * y[..., None]), sky + 0 * x[..., None]
    )
    hazy = 0.8 * np.where(marks[..., None], 0.4 * mark + 0.6 * canvas, canvas)
    return hazy + 40  # things in front stand out


def put(rng: np.random.Generator, canvas: np.ndarray, thing: Thing) -> None:
    """Paint a thing over the canvas, its edge and its texture averaged over SUB x SUB points a
    pixel.
    """
    size = len(canvas)
    cos, sin = turn(between(rng, -0.35, 0.35))
    stripes, phase = between(rng, 2.3, 3.2), rng.random()
    base = np.array(RGB[thing.colour], float) + (rng.random(3) - 0.5) * 50
    other = base * 0.25
    first = [max(0, math.floor((at - thing.radius) * size)) for at in (thing.y, thing.x)]
    last = [min(size, math.ceil((at + thing.radius) * size)) for at in (thing.y, thing.x)]
    rows, columns = (
        ((np.arange(SUB * a, SUB * b) + 0.5) / (SUB * size) - at) / thing.radius
        for a, b, at in zip(first, last, (thing.y, thing.x), strict=True)
    )
    u, v = cos * columns[None] + sin * rows[:, None], cos * rows[:, None] - sin * columns[None]
    offset = 0 if thing.texture == "ringed" else phase
    inside = INSIDE[thing.shape](u, v)
    marked = inside & MARKED[thing.texture](u * stripes + offset, v * stripes + offset)
    window = canvas[first[0] : last[0], first[1] : last[1]]
    blocks = (window.shape[0], SUB, window.shape[1], SUB)
    whole, part = (
        mask.reshape(blocks).sum((1, 3), dtype=np.int64)[..., None] for mask in (inside, marked)
    )
    window[:] = (window * (SUB * SUB - whole) + base * (whole - part) + other * part) / (SUB * SUB)


def smudge(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A soft spot of any colour anywhere: a finger, a flare, a passer-by."""
    size = len(canvas)
    colour, x, y, radius = rng.random(3) * 255, rng.random(), rng.random(), between(rng, 0.1, 0.2)
    row, column = (np.arange(size) + 0.5) / size - y, (np.arange(size) + 0.5) / size - x
    distance = (row * row)[:, None] + (column * column)[None]
    alpha = np.clip(1 - distance / (radius * radius), 0, 0.8)[..., None]
    canvas += alpha * (colour - canvas)


def expose(rng: np.random.Generator, setting: str, things: list[Thing], size: int) -> np.ndarray:
    """The scene under a light and a sensor noise of its own: (size, size, 3) uint8."""
    canvas = backdrop(rng, setting, size)
    for thing in things:
        put(rng, canvas, thing)
    if rng.random() < 0.2:
        smudge(rng, canvas)
    grain = rng.integers(-64, 65, (2, size, size, 3))
    noise = (grain[0] + grain[1]) * between(rng, 0.03, 0.15)
    canvas = canvas * between(rng, 0.8, 1.1) + between(rng, -15, 15) + noise
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def paint(rng: np.random.Generator, setting: str, things: list[Thing], size: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(expose(rng, setting, things, size)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


# ---- hashtags


def misspell(rng: np.random.Generator, word: str) -> str:
    """Two letters swapped, one dropped or one doubled, unless that makes another known word."""
    at = int(rng.integers(1, max(2, len(word) - 1)))
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    wrong = (swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:])[
        int(rng.integers(3))
    ]
    return word if len(word) < 4 or wrong in CONCEPT_OF else wrong


def word_for(rng: np.random.Generator, concept: str, language: int) -> str:
    """A form of a concept: English at times whoever writes, the usual word before its synonyms."""
    word = zipf(rng, FORMS[concept][0 if rng.random() < 0.35 else language])
    return misspell(rng, word) if rng.random() < 0.05 else word


def dress(rng: np.random.Generator, tag: str) -> str:
    """Capitals and emoji as people type them."""
    roll = rng.random()
    cased = tag.capitalize() if roll < 0.12 else tag.upper() if roll < 0.16 else tag
    return cased + zipf(rng, EMOJI) if rng.random() < 0.03 else cased


def merged(rng: np.random.Generator, named: list[str], language: int) -> str | None:
    """#redcircle: a colour run into a shape or a setting; never a texture: that would name a
    target class.
    """
    colours, nouns = (
        [n for n in named if n in COLOURS],
        [n for n in named if n in SHAPES or n in SETTINGS],
    )
    if not (colours and nouns):
        return None
    pair = zipf(rng, colours), nouns[int(rng.integers(len(nouns)))]
    return "".join(zipf(rng, FORMS[concept][language]) for concept in pair)


def hashtags(rng: np.random.Generator, seen: list[str], user: User) -> list[str]:
    """What this user writes under a picture that shows the concepts seen; never an empty list."""
    silent = rng.random() < 0.02
    named = (
        [] if silent else [name for name in seen if rng.random() < MENTIONED[name] * user.verbosity]
    )
    tags = [word_for(rng, name, user.language) for name in named]
    if named and rng.random() < 0.08:
        tags.append(merged(rng, named, user.language) or user.favourites[0])
    if named and rng.random() < 0.06:
        tags.append(word_for(rng, list(FORMS)[int(rng.integers(len(FORMS)))], user.language))
    while rng.random() < 0.5 or not tags:
        tags.append(zipf(rng, user.favourites) if rng.random() < 0.5 else zipf(rng, OFF_TOPIC))
    if rng.random() < 0.04:
        tags.append(zipf(rng, EMOJI))
    tags = list(dict.fromkeys(tags))
    return [dress(rng, tags[i]) for i in rng.permutation(len(tags)).tolist()]


def synonyms() -> dict[str, str]:
    """What a curator who reads no Russian would know: tag to canonical tag.

    Misspelt and merged words are not in it.
    """
    return {
        form.casefold(): name
        for name, languages in FORMS.items()
        for words in languages[:-1]
        for form in words
        if form != name
    }


# ---- records, stores, command


def post_records(seed: int, posts: int, size: int) -> Iterator[tuple[Post, bytes]]:
    for index in range(posts):
        rng = stream(seed, SCENE, index)
        setting, things = compose(rng)
        image = paint(rng, setting, things, size)
        rng = stream(seed, TAGS, index)
        user = user_of(seed, zipf(rng, range(USERS), 10))
        time = datetime(2023, 1, 1) + timedelta(seconds=int(rng.integers(2 * 365 * 86400)))
        tags = hashtags(rng, concepts(setting, things), user)
        name = f"{PREFIX}{index:06d}"
        yield (
            Post(
                id=name, image=f"{name}.jpg", hashtags=tags, user=user.name, time=time.isoformat()
            ),
            image,
        )


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
                yield (
                    Label(id=name, image=f"{name}.jpg", label=f"{texture} {shape}", split=split),
                    image,
                )


def reported(records: Iterable, total: int, what: str, progress: Progressed | None) -> Iterator:
    for done, record in enumerate(records, 1):
        yield record
        if progress:
            progress(done, total, what)


def is_sample(folder: Path) -> bool:
    """Whether there is nothing yet, or nothing but stores drawn here (a killed draw may have
    left parts of them).
    """
    stores = folder / "posts", folder / "targets" / "scenes"
    homes = {
        *stores,
        *(store.with_name(f".{store.name}.{end}") for store in stores for end in ("part", "old")),
    }
    for path in folder.rglob("*"):
        ours = path.name in (STORE, "synonyms.tsv") or path.suffix in (".tar", ".jsonl")
        if path.is_file() and not (ours and path.parent in homes):
            return False
    return all(map(drawn, stores))


def drawn(store: Path) -> bool:
    """Whether every record of a store, if there is one, was drawn here."""
    return all(
        f'"id": "{PREFIX}' in line
        for path in store.glob("*.jsonl")
        for line in path.open(encoding="utf-8")
    )


def draw(
    folder: Path,
    seed: int = 0,
    posts: int = 8000,
    labelled: tuple[int, int, int] = (60, 40, 200),
    size: int = 32,
    progress: Progressed | None = None,
) -> None:
    """Draws posts/ and targets/scenes/ (train, val, test images a class) of size x size JPEGs
    into a folder.

    The same arguments give the same bytes; more posts or labels begin with the same ones.
    ValueError where the folder holds anything but an earlier sample, which is replaced.
    """
    if not is_sample(folder):
        raise ValueError(
            f"{folder} holds data that is not a drawn sample; name an empty folder or move the data away"
        )
    total = sum(labelled) * len(CLASSES)
    write_store(
        folder / "posts", reported(post_records(seed, posts, size), posts, "posts", progress)
    )
    write_store(
        folder / "targets" / "scenes",
        reported(label_records(seed, labelled, size), total, "scenes", progress),
    )
    lines = (f"{form}\t{name}\n" for form, name in synonyms().items())
    (folder / "posts" / "synonyms.tsv").write_text("".join(lines), encoding="utf-8", newline="\n")


def contact_sheet(folder: Path, out_png: Path, rows: int = 3, columns: int = 6) -> None:
    """A picture of the first rows x columns posts of a store, each above its hashtags."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # heavy, and only wanted here
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * columns, 2.4 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (post, data) in zip(
        axes.flat, islice(read_store(folder / "posts", Post), rows * columns), strict=False
    ):
        axis.imshow(np.asarray(Image.open(io.BytesIO(data))), interpolation="nearest")
        text = textwrap.fill(" ".join(f"#{tag}" for tag in post.hashtags), 26)
        axis.set_title(text, y=-0.05, va="top", fontsize=8)
    figure.savefig(out_png, metadata={"Software": None})


def main(folder: Path, seed: int = 0, posts: int = 8000) -> None:
    """Draw the sample data set into FOLDER."""
    with Progress() as bars:
        tasks: dict[str, TaskID] = {}

        def show(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        try:
            draw(folder, seed, posts, progress=show)
        except ValueError as error:
            raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    typer.run(main)
