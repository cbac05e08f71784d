"""Clips of stored videos against frames that are counted one by one."""

import json
import mmap
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import chisquare

from corpus.media import decoding
from corpus.reading.clips import PLACES, slots_of
from corpus.reading.index import INDEX
from corpus.reading.sampler import READING, seeded
from corpus.reading.shards import Shards
from models.blocks.augment.draws import Draws
from tests.support.clips import frame, said, write_clips

# the frame of each slot: as it came, of half the rate, of a rate that varies, one, two, many of one
SHOWN = [
    [*range(40)],
    [i // 2 for i in range(50)],
    [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 4, 4, 5, 6, 6, 6, 6],
    [0],
    [0, 1],
    [0] * 65,
    [*range(7)],
]


def draws(iteration: int = 0, first: int = 0, total: int | None = None) -> Draws:
    return Draws(seeded(3, READING, iteration), first, total)


def video(number: int, shown) -> tuple[list[bytes], list[int]]:
    """A video of as many frames as are shown."""
    return [frame(number, i) for i in range(max(shown) + 1)], [*shown]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips") / "set", map(video, range(7), SHOWN))


def expected(slots: int, numbers: torch.Tensor, window: float, **options) -> list[list[int]]:
    """Slots of the clips of one video, in the words of the docstring."""
    frames, every, clips, within, place = (
        options[key] for key in ("frames", "every", "clips", "within", "place")
    )
    free = max(0, slots - ((frames - 1) * every + 1))
    found = []
    for i in range(clips):
        if place in ("segments", "middles"):
            inside = numbers[i].tolist() if place == "segments" else [0.5] * frames
            found.append([int((j + inside[j]) * slots / frames) for j in range(frames)])
            continue
        start = free // 2
        if place == "even" and clips > 1:
            start = round(i * free / (clips - 1))
        if place == "random":
            room = free if within is None or clips == 1 else min(within, free)
            start = int(window * (free - room + 1)) + int(numbers[i].item() * (room + 1))
        found.append([min(start + j * every, slots - 1) for j in range(frames)])
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_frames_are_those_of_the_slots_that_the_words_say(folder, place, threads):
    shards = Shards(folder, "train", threads=threads)
    order = np.array([6, 0, 5, 3, 0, 2, 4, 1])
    for frames, every, clips, within in (
        (4, 1, 1, None), (4, 3, 3, None), (8, 2, 2, 5), (1, 1, 4, 0), (5, 4, 2, 100), (64, 1, 1, 3),
    ):  # fmt: skip
        options = {"frames": frames, "every": every, "clips": clips, "within": within}
        options["place"] = place
        found = shards.read(order, "clip", draws(), **options)
        again = draws()
        shape = (clips, frames) if place == "segments" else (clips,)
        numbers = again.rand(len(order), *shape)
        numbers = numbers if place == "segments" else numbers.sort(1).values
        windows = again.rand(len(order), 1)[:, 0] if within is not None and clips > 1 else None
        for row, video in enumerate(order.tolist()):
            window = 0.0 if windows is None else windows[row].item()
            slots = expected(len(SHOWN[video]), numbers[row], window, **options)
            assert found[row].shape == (clips, frames, 16, 24, 3)
            assert found[row].dtype == torch.uint8
            seen = said(found[row].numpy())
            assert (seen[..., 0] == video).all()
            assert np.array_equal(seen[..., 1], np.array(SHOWN[video])[slots])


def test_bytes_are_those_of_the_same_jpegs_decoded_alone(folder):
    clip = Shards(folder, "train").read([2], "clip", None, frames=18, place="centre")[0][0]
    for slot, number in enumerate(SHOWN[2]):
        assert np.array_equal(clip[slot].numpy(), decoding.decode(frame(2, number)))


def test_a_sample_draws_the_same_whoever_holds_it(folder):
    shards, order = Shards(folder, "train"), np.array([0, 1, 5, 6, 1, 0])
    for options in ({"clips": 3, "within": 6}, {"place": "segments", "clips": 2}):
        options |= {"frames": 3, "every": 2}
        whole = shards.read(order, "clip", draws(4), **options)
        parts = []
        for first, stop in ((0, 1), (1, 4), (4, 6)):
            some = draws(4, first, len(order))
            parts += shards.read(order[first:stop], "clip", some, **options)
        assert all(map(torch.equal, whole, parts))
        other = shards.read(order, "clip", draws(5), **options)
        assert not all(map(torch.equal, whole, other))


def test_random_clips_begin_anywhere_alike_and_near_each_other():
    counts = np.full(20_000, 40)
    begins = slots_of(counts, draws(), 8, 2, 1)[:, 0, 0]
    # 15 slots are spanned: 26 places
    assert chisquare(np.bincount(begins, minlength=26)).pvalue > 0.001 and begins.max() == 25
    # asked for one clip, a window changes nothing
    assert np.array_equal(slots_of(counts, draws(), 8, 2, 1, within=4)[:, 0, 0], begins)
    near = slots_of(counts, draws(), 8, 2, 3, within=4)[:, :, 0]
    assert {*np.ptp(near, 1).tolist()} == {0, 1, 2, 3, 4}
    assert near.min() == 0 and near.max() == 25
    # in order of time; differences of two uniform numbers of 0 to 4
    assert (np.diff(near, axis=1) >= 0).all()
    pairs = slots_of(counts, draws(), 8, 2, 2, within=4)[:, :, 0]
    gaps = Counter((pairs[:, 1] - pairs[:, 0]).tolist())
    triangle = {gap: (5 - gap) / 25 * (2 if gap else 1) * len(counts) for gap in range(5)}
    assert chisquare([gaps[g] for g in triangle], [*triangle.values()]).pvalue > 0.001
    same = slots_of(counts, draws(), 8, 2, 3, within=0)
    assert (same == same[:, :1]).all() and len({*same[:, 0, 0].tolist()}) == 26
    # frames of segments: each of its own part, and anywhere in it
    parts = slots_of(counts, draws(), 8, place="segments")[:, 0]
    assert (parts // 5 == np.arange(8)).all()
    assert chisquare(np.bincount(parts[:, 3] - 15, minlength=5)).pvalue > 0.001


def test_the_largest_number_that_is_drawn_stays_inside():
    class Largest(Draws):
        def rand(self, n, *shape):
            return torch.full((n, *shape), 1 - 2**-24)

    counts, largest = np.array([54_000, 16_000_000, 3, 1]), Largest(torch.Generator())
    for options in ({}, {"clips": 2, "within": 7}, {"place": "segments"}):
        found = slots_of(counts, largest, 16, **options)
        assert (found < counts[:, None, None]).all() and (
            found[..., -1] == counts[:, None] - 1
        ).all()


def test_only_the_frames_asked_for_are_decoded_and_each_once(folder, monkeypatch):
    decoded, headers = [], []
    real, header = decoding.decode_jpeg, decoding.decode_jpeg_header
    monkeypatch.setattr(
        decoding, "decode_jpeg", lambda data, **more: decoded.append(0) or real(data, **more)
    )
    monkeypatch.setattr(
        decoding, "decode_jpeg_header", lambda data: headers.append(0) or header(data)
    )
    shards = Shards(folder, "train")
    for video, frames, clips, count in ((0, 4, 2, 4), (1, 10, 1, 5), (5, 30, 3, 1), (3, 8, 4, 1)):
        decoded.clear(), headers.clear()
        shards.read([video], "clip", draws(), frames=frames, clips=clips, within=0)
        assert count <= len(decoded) <= count + (video == 1) and len(headers) == 1


def test_what_is_asked_for_ahead_is_what_is_read(folder, monkeypatch):
    asked = []

    class Map(mmap.mmap):
        def madvise(self, option, start, length):
            assert option == mmap.MADV_WILLNEED and start % mmap.PAGESIZE == 0
            assert start + length <= len(self)
            asked.append(length)
            return super().madvise(option, start, length)

    order, options = [6, 0, 1], {"frames": 3, "place": "centre"}
    plain = Shards(folder, "train").read(order, "clip", **options)
    monkeypatch.setattr("mmap.mmap", Map)
    monkeypatch.setattr("corpus.reading.shards.MEMORY", 1000)
    assert all(map(torch.equal, plain, Shards(folder, "train").read(order, "clip", **options)))
    assert len(asked) == 9


def test_what_makes_no_sense_is_told(folder):
    shards = Shards(folder, "train")
    for options, message in (
        ({"frames": 0}, "frames: 0 of clips is too few: give 1 or more"),
        ({"every": 0}, "every: 0 of clips"),
        ({"clips": 0}, "clips: 0 of clips"),
        ({"within": -1}, "within: -1 of clips is too few: give 0 or more"),
        ({"place": "begin"}, "unknown 'begin' of clips; choose one of random, centre, even"),
        ({"depth": 3}, r"no option depth \(it has: frames, every, clips, within, place\)"),
    ):
        with pytest.raises(ValueError, match=message):
            shards.read([0], "clip", draws(), **options)
    for place in ("random", "segments"):
        with pytest.raises(ValueError, match=r"there are no random numbers here: .* give centre"):
            shards.read([0], "clip", place=place)
    for read in (shards.images, shards.pictures):
        with pytest.raises(ValueError, match="holds videos and no images: read the column `clip`"):
            read([0])
    assert shards.videos and shards.read([], "clip", draws()) == []
    assert shards.read([0, 3], "label").tolist() == [0, 1]


def test_the_rate_of_the_slots_is_known(folder, tmp_path):
    assert Shards(folder, "train").frame_rate is None and Shards(folder, "train").size == 16
    index = pq.read_table(folder / INDEX)
    about = json.loads(index.schema.metadata[b"tagdag"]) | {"frame_rate": 30}
    index = index.replace_schema_metadata({"tagdag": json.dumps(about)})
    pq.write_table(index, tmp_path / INDEX)
    assert Shards(tmp_path, "train").frame_rate == 30


def _ends(change):
    """Damage to the list of ends of the first video."""

    def damage(folder):
        table = pq.read_table(folder / INDEX)
        lists = table["frame_ends"].to_pylist()
        lists[0] = change(lists[0])
        place = table.schema.get_field_index("frame_ends")
        field = table.schema.field(place)
        changed = pa.array(lists, field.type)
        pq.write_table(table.set_column(place, field, changed), folder / INDEX)

    return damage


def _bytes(change):
    """Damage to the first shard."""

    def damage(folder):
        path = folder / "00000.tar"
        path.write_bytes(change(path.read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_bytes(lambda tar: tar[:700]), r"video 'v0' in .* is damaged \("),
        (_bytes(lambda tar: tar[:400]), r"video 'v0' in .* is damaged \("),
        (_bytes(lambda tar: b""), "00000.tar is empty"),
        (_bytes(lambda tar: tar[:512] + bytes(4000) + tar[4512:]), "video 'v0' in .* is damaged"),
        (_ends(lambda ends: []), r"video 'v0' in .* is damaged \(no frame\)"),
        (_ends(lambda ends: [*ends[:-1], ends[-1] + 1]), r"'v0' .* \(frames end outside of it\)"),
        (_ends(lambda ends: [0, *ends[1:]]), r"'v0' .* \(frames end outside of it\)"),
        (_ends(lambda ends: [e + 9 for e in ends[:-1]]), "video 'v0' in .* is damaged"),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    folder = write_clips(tmp_path / "set", [video(0, range(3)), video(1, range(3))])
    damage(folder)
    with pytest.raises(ValueError, match=f"{message}.*dvc checkout"):
        Shards(folder, "train", threads=1).read([1, 0], "clip", frames=3, place="centre")


def test_frames_of_several_sizes_are_damage(tmp_path):
    for sides in ((16, 24), (8, 8)), ((8, 8), (16, 24)):
        frames = [frame(0, i, *side) for i, side in enumerate(sides)]
        folder = write_clips(tmp_path / str(sides), [(frames, range(2))])
        with pytest.raises(ValueError, match=r"video 'v0' .* is damaged"):
            Shards(folder, "train").read([0], "clip", frames=2, place="centre")
