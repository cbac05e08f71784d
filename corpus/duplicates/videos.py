"""Videos that repeat a video: most of what one shows is in the other, at one offset in time.

Frames vote for an offset, as in Douze, Jégou, Schmid 2010, "An Image-Based Approach to Video Copy
Detection with Spatio-Temporal Post-Filtering", IEEE Transactions on Multimedia 12(4), section IV;
here they are compared by fingerprints. A still of some seconds is one thing that is shown, not one
for each second: so that different videos that begin with the same title card stay two.
"""

from typing import NamedTuple

import numpy as np

from corpus.duplicates.hamming import expand, near
from corpus.duplicates.search import groups
from corpus.media.fingerprint import mirrored

STILL = 6  # bits in which a frame may differ from the first one of a still
# bits in which frames may differ that vote; several have to agree: more than of an image alone
VOTING = 28
LEAST = 3  # stills that have to be in both, of a video that has so many
COMMON = 20  # videos: a still that more of them show is no hint that two are one
SHOWN = 3  # frames of a pair whose pixels are compared
CELLS = 1 << 21  # pairs of frames that are compared at once


class Films(NamedTuple):
    """Frames of a store's videos that show something, in their order, m of n videos.

    codes: uint64 (m, 2). place, second: (m,), of each in its video. still: (m,), the frame that
    its still begins with. starts: (n + 1,), the first frame of each video. stills: (n,), how many
    each has. middles: uint64 (n, 2), codes of the frames half-way.
    """

    codes: np.ndarray
    place: np.ndarray
    second: np.ndarray
    still: np.ndarray
    starts: np.ndarray
    stills: np.ndarray
    middles: np.ndarray

    @property
    def video(self) -> np.ndarray:
        """The video of each frame, (m,)."""
        return np.repeat(np.arange(len(self.stills)), np.diff(self.starts))

    def mirrored(self) -> "Films":
        """With left and right of all frames exchanged."""
        return self._replace(codes=mirrored(self.codes), middles=mirrored(self.middles))


class Repeated(NamedTuple):
    """Pairs of videos (p, 2), the bits in which their frames differ (p,), and frames to look at.

    shown: (s, 3), the pair, and the places of a frame of each of its videos that are to be alike.
    """

    pairs: np.ndarray
    distances: np.ndarray
    shown: np.ndarray


def films(
    codes: np.ndarray, ends: np.ndarray, apart: np.ndarray, middles: np.ndarray, usable: np.ndarray
) -> Films:
    """Of the codes (m, 2) of some frames of n videos, those of each ending at `ends` (n,).

    apart: (n,), seconds from one frame to the next. middles: (n, 2), codes of the frames half-way.
    usable: rows of the videos that count. A frame of one colour has code 0 and shows nothing.
    """
    lengths = np.diff(ends, prepend=0)
    video, place = expand(lengths)
    kept = (codes != 0).any(1) & np.isin(video, usable)
    codes, video, place = codes[kept], video[kept], place[kept]
    starts = np.searchsorted(video, np.arange(len(ends) + 1))
    still = _stills(codes, starts)
    counts = np.bincount(video[still == np.arange(len(still))], minlength=len(ends))
    return Films(codes, place, place * apart[video], still, starts, counts, middles)


def _stills(codes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The frame that the still of each frame begins with, (m,)."""
    lengths, still = np.diff(starts), np.arange(len(codes))
    # all videos side by side: their second frames, their third ones
    for place in range(1, lengths.max(initial=0)):
        frames = starts[:-1][lengths > place] + place
        first = still[frames - 1]
        still[frames] = np.where(_bits(codes[frames], codes[first]) <= STILL, first, frames)
    return still


def repeated(a: Films, b: Films | None = None, mirror: bool = False) -> Repeated:
    """Videos of a (row in a, row in b) that b repeats; within a without b, the smaller row first.

    mirror: with left and right of b exchanged.
    """
    other = a if b is None else b
    other = other.mirrored() if mirror else other
    pairs = _candidates(a, other, within=b is None and not mirror)
    if b is None:
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    cells = np.diff(a.starts)[pairs[:, 0]] * np.diff(other.starts)[pairs[:, 1]]
    parts = np.split(np.arange(len(pairs)), _cuts(cells))
    found, distances, shown, done = [pairs[:0]], [], [np.empty((0, 3), np.int64)], 0
    for part in parts:
        good, bits, frames = _voted(a, other, pairs[part])
        found.append(pairs[part][good])
        distances.append(bits)
        shown.append(np.add(frames, (done, 0, 0)))
        done += len(bits)
    return Repeated(np.concatenate(found), np.concatenate(distances), np.concatenate(shown))


def _cuts(cells: np.ndarray) -> np.ndarray:
    """Where a list of that many comparisons each is cut, about CELLS at a time."""
    return np.flatnonzero(np.diff(np.cumsum(cells) // CELLS)) + 1


def _bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.bitwise_count(a ^ b).sum(1, dtype=np.int64)


def _candidates(a: Films, b: Films, within: bool) -> np.ndarray:
    """Pairs of videos (c, 2) that have a like still."""
    mine, theirs = (np.flatnonzero(f.still == np.arange(len(f.still))) for f in (a, b))
    links = near(a.codes[mine], None if within else b.codes[theirs]).pairs
    left, right = a.video[mine], b.video[theirs]
    shift = 0 if within else len(mine)
    owners = left if within else np.concatenate([left, right + len(a.stills)])
    common = _common(owners, np.add(links, (0, shift)))
    i, j = left[links[:, 0]], right[links[:, 1]]
    # more than half of the shorter one has to be found: where no more of it is common, some of the
    # rest is found too
    shares = []
    for film, stills, flags in ((a, left, common[: len(mine)]), (b, right, common[shift:])):
        shares.append(2 * np.bincount(stills, flags, len(film.stills)) > film.stills)
    mostly = np.where(a.stills[i] <= b.stills[j], shares[0][i], shares[1][j])
    kept = ~common[links[:, 0]] | mostly
    if within:
        kept &= i != j
    i, j = i[kept], j[kept]
    return _distinct(np.minimum(i, j), np.maximum(i, j))[0] if within else _distinct(i, j)[0]


def _common(owners: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Whether more than COMMON videos show a still, or one that a chain of like ones leads to."""
    group = groups(len(owners), links).first
    shown = _distinct(group, owners)[0]
    return np.bincount(shown[:, 0], minlength=len(owners))[group] > COMMON


def _distinct(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows (u, columns) that there are, in order, and how often each: as np.unique, faster."""
    if not len(columns[0]):
        return np.empty((0, len(columns)), np.int64), np.empty(0, np.int64)
    least = [int(column.min()) for column in columns]
    shape = [int(column.max()) - low + 1 for column, low in zip(columns, least, strict=True)]
    places = tuple(column - low for column, low in zip(columns, least, strict=True))
    keys, counts = np.unique(np.ravel_multi_index(places, shape), return_counts=True)
    return np.stack(np.unravel_index(keys, shape), 1) + least, counts


def _voted(a: Films, b: Films, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pairs repeat each other; of these the bits that differ, and the frames to look at."""
    row, p, q, bits = _like_frames(a, b, pairs)
    offset = a.second[p] - b.second[q]
    stills = np.stack([a.stills[pairs[:, 0]], b.stills[pairs[:, 1]]], 1)
    brief = stills[:, 0] <= stills[:, 1]
    # places are small numbers where frames are large ones
    of_a, of_b = a.place[a.still[p]], b.place[b.still[q]]
    still = np.where(brief[row], of_a, of_b)
    votes, best = _best_offsets(len(pairs), row, offset, still)
    fewer = stills.min(1)
    good = (votes >= np.minimum(LEAST, fewer)) & (2 * votes > fewer)
    # hardly anything is shown: then the frames half-way have to be alike too
    alike = _bits(a.middles[pairs[:, 0]], b.middles[pairs[:, 1]]) <= VOTING
    good &= alike | (fewer >= LEAST)
    number = np.cumsum(good) - 1
    own = good[row] & (offset >= best[row]) & (offset <= best[row] + 1)
    row, p, q, bits = number[row[own]], p[own], q[own], bits[own]
    count = np.bincount(row, minlength=good.sum())
    apart = np.bincount(row, bits, good.sum()) / np.maximum(count, 1)
    some = _spread(row, count)
    shown = np.stack([row[some], a.place[p[some]], b.place[q[some]]], 1)
    return good, np.rint(apart).astype(np.int64), shown


def _like_frames(a: Films, b: Films, pairs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pair, frame of a, frame of b, and bits that differ, of all frames of pairs that are alike."""
    i, j = pairs.T
    across = np.diff(b.starts)[j]
    row, cell = expand(np.diff(a.starts)[i] * across)
    p, q = np.divmod(cell, across[row])
    p, q = a.starts[i[row]] + p, b.starts[j[row]] + q
    bits = _bits(a.codes[p], b.codes[q])
    close = bits <= VOTING
    return row[close], p[close], q[close], bits[close]


def _best_offsets(
    n: int, row: np.ndarray, offset: np.ndarray, still: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each of n pairs the most stills (n,) at one offset or the next one, and the offset.

    Frames are seconds apart: those of a copy that begins between two are like either.
    """
    offsets = np.concatenate([offset, offset - 1])
    voters = _distinct(np.tile(row, 2), offsets, np.tile(still, 2))[0]
    places, counts = _distinct(voters[:, 0], voters[:, 1])
    # the most votes last, and of equals the smallest shift
    order = np.lexsort((-np.abs(places[:, 1]), counts, places[:, 0]))
    votes, best = np.zeros(n, np.int64), np.zeros(n, np.int64)
    votes[places[order, 0]], best[places[order, 0]] = counts[order], places[order, 1]
    return votes, best


def _spread(row: np.ndarray, count: np.ndarray) -> np.ndarray:
    """SHOWN of the entries of each row, from the first to the last; rows are in order."""
    start = np.cumsum(count) - count
    steps = np.arange(SHOWN)[:, None] * np.maximum(count - 1, 0) // max(1, SHOWN - 1)
    return np.unique((start + steps)[:, count > 0])
