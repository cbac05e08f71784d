"""What the report tells of a corpus, as plain data, and the figures that are derived from it.

Co-occurrence is normalised pointwise mutual information (Bouma 2009, "Normalized (Pointwise) Mutual
Information in Collocation Extraction", equation 7): ln(p(a, b) / (p(a) p(b))) / -ln p(a, b), from
-1 (never together) to 1 (always).
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

POINTS = 1000  # of one curve: more cannot be told apart


class Form(NamedTuple):
    """A typed form that stands for a name, and the rule that says so ("" where unknown)."""

    form: str
    rule: str


class Merged(NamedTuple):
    """What a rule has merged or dropped: distinct forms, and their uses (posts of each)."""

    forms: int
    uses: int


class Lost(NamedTuple):
    """A frequent tag outside the vocabulary."""

    tag: str
    posts: int
    reason: str


class Step(NamedTuple):
    """What is left after one step of a funnel, and what the step before had that did not come so
    far, by reason.
    """

    name: str
    count: int
    dropped: dict[str, int]


class Cooccurrence(NamedTuple):
    """int64 (K, K): posts with both names, posts with the name on the diagonal.

    Of `posts` posts in all.
    """

    names: list[str]
    counts: np.ndarray
    posts: int


class TagSet(NamedTuple):
    """A labelled set whose images have several classes each, or none."""

    name: str
    names: list[str]
    counts: np.ndarray  # int64 (names, 3): images of each class in train, val, test
    classes_per_image: np.ndarray  # int64, index = classes of an image
    pairs: Cooccurrence  # of the largest classes


class Pictured(NamedTuple):
    """An image with the objects that lie in it, or the segments that it is made of."""

    id: str
    pixels: np.ndarray  # uint8 (h, w, 3)
    masks: np.ndarray | None  # bool (m, h, w); None where there are boxes alone
    boxes: np.ndarray | None  # float (m, 4), x1 y1 x2 y2; None of segments
    labels: tuple[str, ...]
    crowd: np.ndarray  # bool (m,)


class ObjectSet(NamedTuple):
    """A labelled set of images with objects or segments; splits are train, val and test."""

    name: str
    what: str  # an image has many of: objects, or segments
    names: list[str]
    images: np.ndarray  # int64 (3,) per split
    bare: np.ndarray  # int64 (3,), images of none
    crowd: np.ndarray  # int64 (3,), objects that stand for many
    counts: np.ndarray  # int64 (names, 3), objects of each class per split
    per_image: np.ndarray  # int64, index = objects of an image
    sizes: np.ndarray  # int64 (3,), small, medium, large objects
    pictured: list[Pictured]


class FilmSet(NamedTuple):
    """A set of videos: what each is like that can be used, and why the others cannot."""

    name: str
    seconds: np.ndarray  # float64 (n,)
    rates: np.ndarray  # float64 (n,), different frames to a second, as they are stored
    sides: np.ndarray  # int64 (n, 2), width and height as they are stored
    size: int  # bytes as they are stored
    frame_rate: int  # frames a second at most
    refused: dict[str, int]  # reason -> videos
    pictured: list[tuple[str, bytes]]  # id, some frames


class Users(NamedTuple):
    """Posts of the users at some ranks (1 = most posts), `number` users in all, the share of the
    top 1 % of them.
    """

    number: int
    rank: np.ndarray
    posts: np.ndarray
    top_share: float


class Twins(NamedTuple):
    """Two images taken for the same: JPEG bytes and ids.

    `kind` how they were found, `sets` where they lie.
    """

    kind: str
    sets: str
    left: bytes
    right: bytes
    left_id: str
    right_id: str


class Example(NamedTuple):
    """One post: its image (JPEG), the hashtags as typed, the names it is trained on."""

    id: str
    image: bytes
    typed: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Input of the report; what a corpus does not have stays empty.

    AssertionError if numbers do not add up.
    """

    summary: dict[str, int | float | str | None]  # None: unknown
    names: list[str]  # of the vocabulary, most frequent first
    counts: np.ndarray  # int64 (names,), posts per name
    post_steps: list[Step]  # the last one: posts in the shards
    tag_steps: list[Step]  # the last one: occurrences of names of the vocabulary
    tags_per_post: np.ndarray  # int64, index = names kept
    images: dict[str, dict[str, int]]  # store -> split -> images
    forms: dict[str, list[Form]] = field(default_factory=dict)
    synsets: dict[str, str] = field(default_factory=dict)
    typed_counts: np.ndarray | None = None  # int64, posts per distinct typed tag
    resampled: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # rule -> (names,) posts per training list
    cooccurrence: Cooccurrence | None = None
    users: Users | None = None
    duplicates: dict[tuple[str, str], int] = field(default_factory=dict)  # (sets, kind) -> pairs
    twins: list[Twins] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # on the labelled sets
    tag_sets: list[TagSet] = field(default_factory=list)
    object_sets: list[ObjectSet] = field(default_factory=list)
    film_sets: list[FilmSet] = field(default_factory=list)
    merged: dict[str, Merged] = field(default_factory=dict)  # rule of a form -> how much it did
    settings: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, str] = field(
        default_factory=dict
    )  # title -> paragraph; reasons of that title link to it

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.counts), (
            f"{len(self.names)} names, {len(self.counts)} counts"
        )
        assert (np.diff(self.counts) <= 0).all(), "names are not in the order of their counts"
        for steps in (self.post_steps, self.tag_steps):
            for before, after in pairwise(steps):
                left = before.count - sum(after.dropped.values())
                assert left == after.count, (
                    f"{before.name} less drops is {left:,}, but {after.name} is {after.count:,}"
                )
        shards = sum(self.images.get("hashtags", {}).values())
        kept = self.post_steps[-1].count if self.post_steps else shards
        assert kept == shards, f"{kept:,} posts kept, but {shards:,} in the shards"
        wrong = [rule for rule, values in self.resampled.items() if len(values) != len(self.names)]
        assert not wrong, f"resampled {wrong}: one value per name is wanted"


def zipf_exponent(counts: list[int] | np.ndarray) -> float:
    """s of count ~ rank^-s, by least squares on log rank and log count.

    0 for fewer than two tags.
    """
    return zipf_fit(counts)[0]


def zipf_fit(counts: list[int] | np.ndarray) -> tuple[float, float]:
    """(s, c) of count = c rank^-s; fewer than two tags have s = 0."""
    ranked = np.sort(np.asarray(counts, np.float64))[::-1]
    ranked = ranked[ranked > 0]
    if len(ranked) < 2:
        return 0.0, float(ranked.sum())
    slope, height = np.polyfit(np.log(np.arange(1, len(ranked) + 1)), np.log(ranked), 1)
    return float(-slope), float(np.exp(height))


def thinned(values: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """(rank, value) of the values in falling order, at no more than `points` ranks, evenly on a
    logarithmic axis.
    """
    ranked = np.sort(np.asarray(values))[::-1]
    rank = np.unique(np.geomspace(1, max(len(ranked), 1), points).round().astype(np.int64))[
        : len(ranked)
    ]
    return rank, ranked[rank - 1]


def users(posts_per_user: np.ndarray) -> Users | None:
    """The curve of posts per user; None without users."""
    posts = np.sort(np.asarray(posts_per_user, np.int64))[::-1]
    if not posts.sum():
        return None
    top = -(-len(posts) // 100)
    return Users(len(posts), *thinned(posts), float(posts[:top].sum() / posts.sum()))


def npmi(pairs: Cooccurrence) -> np.ndarray:
    """float64 (K, K) within [-1, 1]; 0 for a name without posts, 1 on the diagonal."""
    p = np.asarray(pairs.counts, np.float64) / max(pairs.posts, 1)
    alone = np.diag(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(p / np.outer(alone, alone)) / -np.log(p)
    value = np.where(p == 0, -1.0, np.where(p >= 1, 1.0, value))  # the limits of the formula
    value[np.outer(alone, alone) == 0] = 0
    np.fill_diagonal(value, 1)
    return value.clip(-1, 1)


def seriation(similarity: np.ndarray) -> np.ndarray:
    """An order of the rows of a symmetric (K, K) in which similar ones are neighbours: leaves of
    average linkage.
    """
    if len(similarity) < 3:
        return np.arange(len(similarity))
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = 1 - (similarity + similarity.T) / 2
    np.fill_diagonal(distance, 0)
    order = leaves_list(
        linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    )
    return (
        order if order[0] < order[-1] else order[::-1]
    )  # of the two directions, the one with the frequent end first
