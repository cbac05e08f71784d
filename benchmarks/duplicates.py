"""Duplicate search on Tiny ImageNet: equal files, planted copies, copies shared with CIFAR-10's
test set, speed.

`python -m benchmarks.duplicates --packs ../shared/data [--planted 200] [--out]`. The learnt
features are those of a small RegNet, trained here for some two minutes on the classes of Tiny
ImageNet's train split; in the pipeline they are those of the pretrained network. Pairs found beyond
the planted ones go to contact sheets, to be looked at.
"""

import argparse
import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.packs import CIFAR, PHOTOS, members
from corpus.duplicates.hamming import RADIUS, near
from corpus.duplicates.overlap import LIKE, SAME, verify_pairs
from corpus.duplicates.search import NEIGHBOURS, exact, knn, neighbour_pairs
from corpus.media.decoding import decode
from corpus.media.fingerprint import fingerprint, mirrored
from engine.core.network import network
from engine.measure.profile import device_name
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.twins.features import rmac_features

RESULTS = Path(__file__).parent / "results"
BACKBONE = {
    "name": "regnet",
    "depth": 6,
    "w_0": 32,
    "w_a": 32,
    "w_m": 2.2,
    "group_width": 16,
    "stem_width": 16,
}
ENLARGED = 96  # px at which features are taken: a map of 6 x 6 regions rather than 4 x 4
PEER = 5000  # codes that the peer compares with each other


class Set(NamedTuple):
    """Images of one size, uint8 (n, size, size, 3), with their names, digests (n, 32) and codes
    (n, 2).
    """

    pixels: np.ndarray
    names: list[str]
    digests: np.ndarray
    codes: np.ndarray


def codes_of(pixels: np.ndarray) -> np.ndarray:
    return np.stack([fingerprint(image) for image in pixels])


def read(packs: Path, pack: str, below: str) -> Set:
    """The images of a pack below one of its folders."""
    files = [
        (name, data)
        for name, data in members(packs, pack, below)
        if name.lower().endswith((".jpeg", ".jpg"))
    ]
    digests = np.frombuffer(
        b"".join(hashlib.sha256(data).digest() for _, data in files), np.uint8
    ).reshape(-1, 32)
    pixels = np.stack([decode(data) for _, data in files])
    return Set(pixels, [name.removeprefix(below) for name, _ in files], digests, codes_of(pixels))


# ---- copies


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return decode(out.getvalue())


def resized(pixels: np.ndarray, size: int, box: tuple | None = None) -> np.ndarray:
    return np.asarray(
        Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS, box=box)
    )


def rescaled(size: int) -> Callable:
    return lambda x, rng: resized(resized(x, size), len(x))


def cropped(side: float) -> Callable:
    def change(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        left, top = rng.random(2) * len(x) * (1 - side)
        return jpeg(resized(x, len(x), (left, top, left + len(x) * side, top + len(x) * side)), 90)

    return change


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    **{f"JPEG quality {q}": lambda x, rng, q=q: jpeg(x, q) for q in (90, 50, 20)},
    **{f"to {size} px and back": rescaled(size) for size in (48, 32, 24)},
    **{f"crop, {side:.0%} of the side": cropped(side) for side in (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)},
    "grey": lambda x, rng: np.asarray(Image.fromarray(x).convert("L").convert("RGB")),
    "1.3 times brighter, clipped": lambda x, rng: np.clip(x * 1.3 + 10, 0, 255).astype(np.uint8),
    "mirrored": lambda x, rng: np.ascontiguousarray(x[:, ::-1]),
}


# ---- learnt features


class Classes:
    """Tiny ImageNet's train split as the samples of a training loop."""

    def __init__(self, tiny: Set):
        parts = [name.split("/") for name in tiny.names]
        self.rows = torch.tensor([i for i, part in enumerate(parts) if part[0] == "train"])
        self.names = sorted({part[1] for part in parts})
        self.classes = torch.tensor([self.names.index(parts[i][1]) for i in self.rows])
        self.pixels = torch.from_numpy(tiny.pixels)

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, indices: torch.Tensor) -> torch.Tensor:
        return self.pixels[self.rows[indices]]

    def targets(self, indices: torch.Tensor) -> torch.Tensor:
        return self.classes[indices]


def trained(tiny: Set, epochs: float) -> Callable[[np.ndarray], torch.Tensor]:
    """A function from images to R-MAC features of a network trained on the classes of the train
    split.
    """
    initialise(0)
    samples = Classes(tiny)
    net = network(
        BACKBONE,
        {"name": "supervised", "scale": (0.3, 1.0)},
        {"name": "linear"},
        len(samples.names),
    )
    train(net, samples, Training(Recipe(batch=128, rate=0.2, warmup=0.3), epochs))

    def batches(pixels: np.ndarray) -> Iterator[torch.Tensor]:
        for part in torch.from_numpy(pixels).split(256):
            yield F.interpolate(
                net.plain(part.to(net.augment.gain.device)), size=ENLARGED, mode="bilinear"
            )

    return lambda pixels: rmac_features(net.backbone, batches(pixels))


# ---- search


def loader(pixels: np.ndarray) -> Callable:
    return lambda rows: pixels[rows]


def verified(a: Set, b: Set, pairs: np.ndarray, least: float) -> np.ndarray:
    """The pairs whose pixels agree, most certain first."""
    scores = verify_pairs(loader(a.pixels), loader(b.pixels), *pairs.T)
    order = np.argsort(-scores, kind="stable")
    return pairs[order[scores[order] >= least]]


def searches(a: Set, b: Set, embed: Callable, vectors: torch.Tensor) -> dict[str, np.ndarray]:
    """Pairs (m, 2) by every search of b in a."""
    plain, flipped = near(a.codes, b.codes).pairs, near(a.codes, mirrored(b.codes)).pairs
    candidates = neighbour_pairs(*knn(vectors, embed(b.pixels)), least=0.0)
    return {
        "near": plain,
        "near, verified": verified(a, b, plain, LIKE),
        "near, mirrored": flipped,
        f"learnt, k = {NEIGHBOURS}": candidates,
        "learnt, verified": verified(a, b, candidates, SAME),
    }


def sheet(path: Path, a: Set, b: Set, pairs: np.ndarray, columns: int = 24) -> None:
    """PNG of the first pairs, the image of a above that of b."""
    rows, columns = [], min(columns, len(pairs))
    for part in np.array_split(
        pairs[: 8 * columns], range(columns, min(len(pairs), 8 * columns), columns)
    ):
        tiles = [
            np.concatenate([resized(a.pixels[i], 64), resized(b.pixels[j], 64)]) for i, j in part
        ]
        tiles += [np.full((128, 64, 3), 255, np.uint8)] * (columns - len(tiles))
        rows.append(np.pad(np.concatenate(tiles, 1), ((0, 8), (0, 0), (0, 0)), constant_values=255))
    Image.fromarray(np.concatenate(rows)).save(path)


def planted(tiny: Set, count: int) -> tuple[Set, np.ndarray]:
    """`count` copies of every kind, of images drawn anew for each, and the index of the image
    behind each copy.
    """
    rng = np.random.default_rng(0)
    sources = np.concatenate([rng.choice(len(tiny.names), count, replace=False) for _ in KINDS])
    changes = [change for change in KINDS.values() for _ in range(count)]
    pixels = np.stack(
        [change(tiny.pixels[i], rng) for i, change in zip(sources, changes, strict=True)]
    )
    names = [
        f"{kind}: {tiny.names[i]}"
        for kind, i in zip(np.repeat(list(KINDS), count), sources, strict=True)
    ]
    return Set(pixels, names, np.empty((0, 32), np.uint8), codes_of(pixels)), sources


def planted_table(
    found: dict[str, np.ndarray], sources: np.ndarray, equal: np.ndarray, count: int
) -> tuple[list[str], np.ndarray]:
    """Recall / precision in per cent per kind and search, and the pairs verified beyond the
    planted ones.
    """
    twin = {int(i): int(i) for i in sources} | {int(j): int(i) for i, j in equal}
    last = max(sources.max(), *(pairs[:, 0].max() for pairs in found.values()))
    first = np.array([twin.get(i, i) for i in range(last + 1)])
    lines = ["| planted | " + " | ".join(found) + " |", "|" + " --- |" * (len(found) + 1)]
    for k, kind in enumerate(KINDS):
        cells = []
        for pairs in found.values():
            own = pairs[pairs[:, 1] // count == k]
            right = first[own[:, 0]] == first[sources[own[:, 1]]]
            precision = f"{100 * right.mean():.1f}" if len(own) else "-"
            cells.append(f"{100 * len(np.unique(own[right, 1])) / count:.1f} / {precision}")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    pairs = found["learnt, verified"]
    return lines, pairs[first[pairs[:, 0]] != first[sources[pairs[:, 1]]]]


# ---- speed


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def with_planted(n: int) -> np.ndarray:
    """n random codes, the last tenth of them copies of the first with up to 8 bits changed."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64, (n, 2), np.uint64)
    copies = codes[-(n // 10) :]
    copies[:] = codes[: n // 10]
    for _ in range(8):
        copies[:, 0] ^= np.uint64(1) << rng.integers(0, 64, len(copies), np.uint64)
    return codes


def brute_force(codes: np.ndarray, rows: int = 256) -> int:
    """The peer: every code with every later one, in NumPy.

    The number of pairs within the radius.
    """
    found, codes = 0, np.asfortranarray(codes)
    for start in range(0, len(codes), rows):
        part, rest = codes[start : start + rows], codes[start:]
        distance = sum(
            np.bitwise_count(part[:, None, word] ^ rest[:, word]) for word in range(codes.shape[1])
        )
        found += int(np.triu(distance <= RADIUS, 1).sum())
    return found


def speed_table(tiny: Set, sizes: list[int], runs: int) -> list[str]:
    """Codes per second, then each number of codes against the peer's time for as many pairs,
    interleaved.
    """
    rate = [2000 / seconds(lambda: codes_of(tiny.pixels[:2000])) for _ in range(runs)]
    lines = [
        f"fingerprint: {median(rate):,.0f} images/s of 64 px ({1e6 / median(rate):.0f} us each)",
        "",
    ]
    lines += [
        "| codes | near, s | brute force, s | ratio (min to max) |",
        "| --- | --- | --- | --- |",
    ]
    for n in sizes:
        codes, times, part = with_planted(n), [], min(n, PEER)
        for _ in range(runs):
            ours = seconds(lambda c=codes: near(c))
            times.append((ours, seconds(lambda c=codes[:part]: brute_force(c)) * (n / part) ** 2))
        assert len(near(codes).pairs) >= n // 10
        ours, peer = zip(*times, strict=True)
        ratios = sorted(p / o for o, p in times)
        extrapolated = f" (from {PEER:,} codes)" if n > PEER else ""
        spread = f"{median(ratios):.0f} ({ratios[0]:.0f} to {ratios[-1]:.0f})"
        lines.append(
            f"| {n:,} | {median(ours):.2f} | {median(peer):.1f}{extrapolated} | {spread} |"
        )
    return lines


def against_itself(tiny: Set, equal: np.ndarray) -> Iterator[str]:
    """The pairs of equal files, and whether the hash finds just these."""
    pairs = f"{len(equal)} pairs of equal files in {len(tiny.names):,}"
    yield f"\n## Tiny ImageNet against itself: {pairs}\n"
    yield from (f"- {tiny.names[i]} = {tiny.names[j]}" for i, j in equal)
    alike = near(tiny.codes).pairs
    both = len({(int(i), int(j)) for i, j in alike} & {(int(i), int(j)) for i, j in equal})
    yield f"\nnear: {len(alike)} pairs, {both} of them the equal ones"


def learnt(options: argparse.Namespace, tiny: Set, cifar: Set, equal: np.ndarray) -> Iterator[str]:
    """Planted copies, then CIFAR-10, by every search."""
    started = time.monotonic()
    embed = trained(tiny, options.epochs)
    seconds = time.monotonic() - started
    yield f"\nfeatures: RegNet of 0.28 M parameters, {options.epochs:g} epochs, {seconds:.0f} s"
    vectors = embed(tiny.pixels)
    copies, sources = planted(tiny, options.planted)
    yield f"\n## {options.planted} planted copies of each kind: recall / precision, %\n"
    lines, beyond = planted_table(
        searches(tiny, copies, embed, vectors), sources, equal, options.planted
    )
    yield from lines
    yield f"\nverified beyond the planted: {len(beyond)} pairs\n"
    yield from (f"- {tiny.names[i]} and {copies.names[j]}" for i, j in beyond[:20])
    if len(beyond):
        sheet(options.sheets / "beyond.png", tiny, copies, beyond)
    yield f"\n## CIFAR-10 test ({len(cifar.names):,}) in Tiny ImageNet\n"
    for name, pairs in searches(tiny, cifar, embed, vectors).items():
        yield f"- {name}: {len(pairs)} pairs"
        if len(pairs) and "verified" in name:
            sheet(options.sheets / f"cifar10-{name.partition(',')[0]}.png", tiny, cifar, pairs)


def report(options: argparse.Namespace) -> Iterator[str]:
    """The lines of the result."""
    started = time.monotonic()
    tiny, cifar = (
        read(options.packs, PHOTOS, "tinyimagenet/setA/"),
        read(options.packs, CIFAR, "cifar10/test/"),
    )
    options.sheets.mkdir(parents=True, exist_ok=True)
    versions = f"torch {torch.__version__}, numpy {np.__version__}"
    yield f"{device_name(torch.device('cpu'))}; {versions}; {datetime.now(UTC):%Y-%m-%d}"
    equal = exact(tiny.digests)
    yield from against_itself(tiny, equal)
    yield from learnt(options, tiny, cifar, equal)
    yield "\n## Speed\n"
    yield from speed_table(tiny, options.codes, options.runs)
    yield f"\n{(time.monotonic() - started) / 60:.1f} minutes in all"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.duplicates", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add("--packs", type=Path, default=Path("../shared/data"), help="folder of the packs (*.tar.xz)")
    add("--planted", type=int, default=200, help="copies of each kind")
    add("--epochs", type=float, default=3, help="of the network that gives the learnt features")
    add(
        "--codes", type=int, nargs="+", default=[35_000, 1_000_000], help="codes of the speed table"
    )
    add("--runs", type=int, default=3, help="of each side of the speed table, interleaved")
    add(
        "--sheets",
        type=Path,
        default=Path(".tagdag/duplicates"),
        help="folder of the contact sheets",
    )
    add("--out", action="store_true", help=f"also write {RESULTS.name}/duplicates.md")
    options, lines = parser.parse_args(), ["# Duplicate search", ""]
    for line in report(options):
        print(line, flush=True)
        lines.append(line)
    if options.out:
        (RESULTS / "duplicates.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
