"""Videos on the pages: their numbers, what was refused, and the right frames side by side."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from corpus.drawn.motions import Film as Shape
from corpus.drawn.motions import encoded, label_videos
from corpus.pages.films import GAP, Film, film
from corpus.pages.thumbnails import thumbnail
from corpus.progress import unseen
from corpus.report.filmsets import film_set, film_sets
from corpus.report.findings import Findings
from corpus.sources.source import source_rows
from corpus.spread import in_turn
from corpus.store.ingest import ingest
from corpus.store.squares import open_store
from flows.measuring.stored import pictures, stored_digests
from tests.support.clips import frame, said, write_clips

EMPTY = {"summary": {}, "names": [], "counts": np.empty(0, np.int64), "post_steps": []}
EMPTY |= {"tag_steps": [], "tags_per_post": np.empty(0, np.int64), "images": {}}


def shown(strip: bytes, width: int) -> np.ndarray:
    """(frames, 2): the video and the number of each frame of a strip."""
    pixels = np.asarray(Image.open(BytesIO(strip)))
    starts = range(0, pixels.shape[1], width + GAP)
    return np.stack([said(pixels[:, start : start + width]) for start in starts])


def test_a_film_is_of_frames_from_the_first_to_the_last():
    frames = [frame(3, number) for number in range(10)]
    ends = np.cumsum([len(each) for each in frames])
    strip = film(b"".join(frames), ends)
    assert isinstance(strip, Film)
    assert shown(strip, 24).tolist() == [[3, 0], [3, 3], [3, 6], [3, 9]]
    # slots that repeat a frame, and fewer of them than a strip has
    assert shown(film(b"".join(frames), ends[[0, 0, 1]]), 24).tolist() == [[3, 0], [3, 0], [3, 1]]
    assert shown(film(frames[0], ends[[0]]), 24).tolist() == [[3, 0]]
    low = Image.open(BytesIO(film(b"".join(frames), ends, count=2, height=8)))
    assert low.size == (2 * 12 + GAP, 8)
    told = str(thumbnail(strip, "a<b"))
    assert 'class="film"' in told and "a&lt;b" in told


def test_pictures_of_videos_are_films_and_their_digests_are_of_all_that_is_stored(tmp_path):
    first = [frame(1, number) for number in range(6)]
    second = [frame(2, number) for number in range(6)]
    videos = [(frames, range(6)) for frames in (first, second, first)]
    folder = write_clips(tmp_path / "clips", videos)
    found = pictures(folder, ["v0", "v1", "nobody"])
    assert list(found) == ["v0", "v1"] and all(isinstance(each, Film) for each in found.values())
    assert shown(found["v1"], 24).tolist() == [[2, 0], [2, 2], [2, 3], [2, 5]]
    one, two, again = stored_digests(folder, ["v0", "v1", "v2"])
    assert one == again != two and pictures(tmp_path / "no", ["v0"]) == {}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three videos, one of which is damaged behind its first frames."""
    root = tmp_path_factory.mktemp("films")
    (_, still) = next(iter(label_videos(0, 1, Shape(32, 12, 6))))
    wide = np.random.default_rng(0).integers(0, 255, (30, 32, 64, 3), np.uint8)
    noise = encoded(wide, 15)
    middle = len(noise) // 2
    broken = noise[:middle] + bytes(4000) + noise[middle + 4000 :]
    for name, data in {"a.mp4": still, "b.mp4": noise, "c.mp4": broken}.items():
        (root / name).write_bytes(data)
    (root / "t.csv").write_text("video,label\na.mp4,x\nb.mp4,y\nc.mp4,x\n")
    rows = source_rows(str(root / "t.csv"), None, "clips", root / "spool")
    ingest(rows, root / "data", "targets/films", kind="clips")
    folder = root / "data/targets/films"
    return open_store("targets/films", folder, 24, root / "cache", in_turn, unseen, 15)


def test_a_set_of_videos_has_its_numbers_its_refusals_and_some_films(store):
    found = film_set(store)
    assert found.seconds.tolist() == [2.0, 2.0]
    assert sorted(found.sides.tolist()) == [[24, 24], [48, 24]]
    # of 6 frames a second each is shown more than once
    assert sorted(found.rates.round(1).tolist()) == [6.0, 15.0] and found.frame_rate == 15
    assert list(found.refused.values()) == [1] and len(found.pictured) == 2
    [part] = film_sets(Findings(**EMPTY, film_sets=[found]))
    told = str(part)
    [reason] = found.refused
    assert "2 videos" in told and reason in told and told.count('class="film"') == 2
    assert "1 could not be used" in told and "MB of JPEG frames a minute" in told
    none = found._replace(seconds=np.empty(0), refused={}, pictured=[])
    assert "0 videos" in str(film_sets(Findings(**EMPTY, film_sets=[none])))
