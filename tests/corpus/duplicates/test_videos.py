"""Videos that repeat each other: every kind of copy is found, what is only alike is not; the
search is brute force.
"""

import hashlib
from itertools import combinations, pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from corpus.duplicates import videos
from corpus.duplicates.hamming import RADIUS
from corpus.duplicates.search import groups
from corpus.duplicates.twins import twin_pairs
from corpus.media.fingerprint import fingerprint, mirrored
from corpus.store.side import code_slots, seconds_apart
from tests.corpus.duplicates.filmed import COPIES, MISSES, RATE, encoded, film, seconds_of

ORIGINALS = 8


def side(posted: list[bytes], unusable: tuple[int, ...] = ()) -> SimpleNamespace:
    """A store of these videos: of each second a frame, which is kept square and small."""
    shown = [seconds_of(data) for data in posted]
    digests = [np.frombuffer(hashlib.sha256(data).digest(), np.uint8) for data in posted]
    codes = [np.stack([*map(fingerprint, each)]) for each in shown]

    def pixels(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        frames = [shown[row][place] for row, place in zip(rows, places, strict=True)]
        return np.stack([np.asarray(Image.fromarray(frame).resize((32, 32))) for frame in frames])

    return SimpleNamespace(
        digests=np.stack(digests),
        codes=np.stack([each[len(each) // 2] for each in codes]),
        usable=np.array([row for row in range(len(posted)) if row not in unusable]),
        frames=(np.concatenate(codes), np.cumsum([*map(len, codes)]), np.ones(len(codes), int)),
        frame_pixels=pixels,
    )


def found(a, b=None) -> dict[tuple[int, int], str]:
    result = twin_pairs(a, b)
    pairs = map(tuple, result.pairs.tolist())
    return dict(zip(pairs, result.kinds.tolist(), strict=True))


@pytest.fixture(scope="module")
def originals() -> list[np.ndarray]:
    return [film(seed) for seed in range(ORIGINALS)]


@pytest.fixture(scope="module")
def stored(originals) -> SimpleNamespace:
    return side([encoded(frames) for frames in originals])


def posted(*films: np.ndarray) -> SimpleNamespace:
    return side([encoded(frames) for frames in films])


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_nothing_else_is(kind, originals, stored):
    copies = side([COPIES[kind](frames) for frames in originals])
    how = "mirrored" if kind == "mirrored" else "near"
    assert found(stored, copies) == {(row, row): how for row in range(ORIGINALS)}


@pytest.mark.parametrize("kind", MISSES)
def test_what_is_only_alike_is_no_copy(kind, originals):
    for pair in pairwise(originals[:5]):
        films = MISSES[kind](*pair)
        assert found(posted(*films)) == {}
        assert found(posted(films[0]), posted(films[1])) == {}


def test_a_copy_that_begins_between_two_seconds_is_found_unless_all_moves_fast():
    for speed, share in ((0.1, 1), (0.4, 0.75)):
        films = [film(seed, speed=speed) for seed in range(ORIGINALS)]
        later = [frames[RATE // 2 :] for frames in films]
        pairs = found(posted(*films), posted(*later))
        assert all(a == b for a, b in pairs) and len(pairs) >= share * ORIGINALS


def test_copies_within_a_store_but_for_unusable_videos(originals):
    posts = [encoded(frames) for frames in originals[:4]]
    posts += [posts[0], COPIES["with a logo"](originals[1]), COPIES["mirrored"](originals[2])]
    posts += [COPIES["half the size"](originals[3])]
    expected = {(0, 4): "exact", (1, 5): "near", (2, 6): "mirrored", (3, 7): "near"}
    assert found(side(posts)) == expected
    del expected[3, 7]
    assert found(side(posts, unusable=(3,))) == expected


def test_an_excerpt_of_three_seconds_is_found_and_one_of_two_is_not(originals, stored):
    for seconds, count in ((3, 4), (2, 0)):
        parts = [frames[RATE * 2 : RATE * (2 + seconds)] for frames in originals[:4]]
        assert len(found(stored, posted(*parts))) == count


def test_still_pictures_of_any_length_are_copies_of_each_other():
    pictures = [film(seed)[:1] for seed in range(3)]
    long = posted(*(picture.repeat(6 * RATE, 0) for picture in pictures))
    short = posted(*(picture.repeat(2 * RATE, 0) for picture in pictures))
    assert found(long, short) == {(row, row): "near" for row in range(3)}


def test_a_video_and_an_image_are_duplicates_by_their_bytes_alone(stored):
    images = SimpleNamespace(**vars(stored) | {"frames": None})
    assert found(stored, images) == {(row, row): "exact" for row in range(ORIGINALS)}
    images.digests = 255 - images.digests
    assert found(stored, images) == {}


# ---- codes alone


def bits(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(a ^ b).sum())


def stills_of(codes: np.ndarray) -> list[int]:
    """The place that the still of each frame begins at; -1 of a frame that shows nothing."""
    found: list[int] = []
    for place, code in enumerate(codes):
        first = next((still for still in reversed(found) if still >= 0), None)
        alike = first is not None and bits(code, codes[first]) <= videos.STILL
        found.append(-1 if not code.any() else first if alike else place)
    return found


def brute(a: np.ndarray, b: np.ndarray, middles: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether two videos of these codes repeat each other, as the definition has it."""
    stills = stills_of(a), stills_of(b)
    counts = [len(set(each) - {-1}) for each in stills]
    shorter = 0 if counts[0] <= counts[1] else 1
    votes, hint = {}, False
    for p, q in product(range(len(a)), range(len(b))):
        if min(stills[0][p], stills[1][q]) < 0 or bits(a[p], b[q]) > videos.VOTING:
            continue
        firsts = stills[0][p] == p and stills[1][q] == q
        hint |= firsts and bits(a[p], b[q]) <= RADIUS
        for offset in (p - q, p - q - 1):
            votes.setdefault(offset, set()).add((stills[0][p], stills[1][q])[shorter])
    most, fewer = max(map(len, votes.values()), default=0), min(counts)
    enough = hint and most >= min(videos.LEAST, fewer) and 2 * most > fewer
    return enough and (fewer >= videos.LEAST or bits(*middles) <= videos.VOTING)


def drawn(n: int, seed: int) -> list[np.ndarray]:
    """Codes of videos of 0 to 9 seconds, most of which repeat a part of an earlier one."""
    rng, some = np.random.default_rng(seed), []
    for number in range(n):
        codes = rng.integers(0, 2**64, (rng.integers(10), 2), np.uint64)
        if number >= n // 3:
            source = some[rng.integers(number)]
            start, length = rng.integers(4), rng.integers(8)
            part = source[start : start + length].copy()
            for code in part:
                for bit in rng.integers(0, 128, rng.choice([3, 12, 24, 30])):
                    code[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
            codes = np.concatenate([codes[: rng.integers(4)], part])
        codes[rng.random(len(codes)) < 0.1] = 0
        repeats = np.flatnonzero(rng.random(len(codes)) < 0.2)
        codes[repeats[repeats > 0]] = codes[repeats[repeats > 0] - 1]
        some.append(codes)
    return some


def as_films(some: list[np.ndarray], apart: int = 1) -> videos.Films:
    none = np.zeros(2, np.uint64)
    middles = np.stack([codes[len(codes) // 2] if len(codes) else none for codes in some])
    ends = np.cumsum([*map(len, some)])
    seconds = np.full(len(some), apart)
    return videos.films(np.concatenate(some), ends, seconds, middles, np.arange(len(some)))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("cells", [50, videos.CELLS])
def test_the_search_is_brute_force(mirror, cells, monkeypatch):
    monkeypatch.setattr(videos, "CELLS", cells)
    a, b = drawn(60, 0), drawn(40, 1)
    b[::2] = [codes[1:] for codes in drawn(60, 0)[:20]]
    if mirror:
        b = [mirrored(codes) * codes.any(1, keepdims=True) for codes in b]
    films = as_films(a), as_films(b)
    seen = [mirrored(codes) for codes in b] if mirror else b
    middles = films[0].middles, films[1].mirrored().middles if mirror else films[1].middles
    expected = [
        (i, j)
        for i, j in product(range(len(a)), range(len(b)))
        if brute(a[i], seen[j] * b[j].any(1, keepdims=True), (middles[0][i], middles[1][j]))
    ]
    result = videos.repeated(*films, mirror)
    assert sorted(map(tuple, result.pairs.tolist())) == expected and len(expected) > 15
    number, p, q = result.shown.T
    for each, mine, theirs in zip(number, p, q, strict=True):
        i, j = result.pairs[each]
        assert bits(a[i][mine], seen[j][theirs]) <= videos.VOTING
    looked = np.bincount(number, minlength=len(expected))
    assert looked.min() >= 1 and looked.max() <= videos.SHOWN


def test_within_a_store_it_is_brute_force():
    a = drawn(80, 2)
    films = as_films(a)
    expected = [
        (i, j)
        for i, j in combinations(range(len(a)), 2)
        if brute(a[i], a[j], (films.middles[i], films.middles[j]))
    ]
    pairs = videos.repeated(films).pairs
    assert sorted(map(tuple, pairs.tolist())) == expected and len(expected) > 10


def test_a_card_that_many_begin_with_proposes_no_pairs():
    rng = np.random.default_rng(0)
    some = [rng.integers(0, 2**64, (6, 2), np.uint64) for _ in range(300)]
    for codes in some:
        codes[0] = some[0][0]
    some[200][1:] = some[100][1:]
    films = as_films(some)
    assert videos._candidates(films, films, within=True).tolist() == [[100, 200]]
    assert videos.repeated(films).pairs.tolist() == [[100, 200]]
    # but a video that so many posts repeat is found in all of them
    for codes in some[:60]:
        codes[:] = some[0]
    pairs = videos.repeated(as_films(some)).pairs
    assert groups(300, pairs).drop.tolist() == [*range(1, 60), 200]


def test_long_videos_are_compared_by_the_second():
    """Of one a frame in two seconds is known, of a copy that lacks its start and end each."""
    rng = np.random.default_rng(0)
    seconds = rng.integers(0, 2**64, (100, 2), np.uint64)
    assert code_slots(1000, 10).tolist() == [*range(0, 1000, 20)] and seconds_apart(1000, 10) == 2
    assert len(code_slots(640, 10)) == 64 and len(code_slots(641, 10)) == 33
    long, other = as_films([seconds[::2]], apart=2), rng.integers(0, 2**64, (50, 2), np.uint64)
    assert videos.repeated(long, as_films([other, seconds[20:80]])).pairs.tolist() == [[0, 1]]
    # at twice the speed it is another one
    assert len(videos.repeated(long, as_films([seconds[::2]])).pairs) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_videos(n):
    films = as_films(drawn(3, 0))
    none = np.zeros((0, 2), np.uint64)
    ends, middles = np.zeros(n, np.int64), np.zeros((n, 2), np.uint64)
    few = videos.films(none, ends, ends, middles, np.arange(n))
    for result in (videos.repeated(few), videos.repeated(films, few), videos.repeated(few, films)):
        assert result.pairs.shape == (0, 2) and result.shown.shape == (0, 3)
