"""`version add --dry-run`: the account of an import without one, a page to look at."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from corpus.store import trial as module
from corpus.store.ingest import ingest, ingest_all
from corpus.store.preview import write_preview
from corpus.store.trial import try_all
from tests.corpus.store.test_ingest import bad_rows, files, label, picture, post

STEER = "<script>alert(1)</script>\x1b[31m\u202e"


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def tried(rows, data: Path, name: str, **options) -> module.Tried:
    return try_all({name: rows}, data, data.parent / "scratch", **options)[name]


def mixed(source: Path) -> list:
    """New posts, posts of the store, one of them corrected, one id twice, and every fault."""
    rows = [post(source, i) for i in range(20)] + [post(source, 1000, id="p15")]
    return [*rows, post(source, 3, hashtags=["corrected"]), *bad_rows(source).values()]


@pytest.mark.parametrize("how", [{}, {"update": True}])
def test_a_trial_tells_what_the_import_then_does_and_changes_nothing(source, tmp_path, how):
    data = tmp_path / "data"
    ingest([post(source, i) for i in range(8)], data, "posts")
    rows = mixed(source)
    del rows[3]  # so that its correction stands alone
    before = files(data)
    trial = tried(rows, data, "posts", **how).result
    assert files(data) == before
    done = ingest(rows, data, "posts", **how)
    assert trial._replace(digest=done.digest) == done
    assert done.changed == (1 if how else 0) and done.differing == (0 if how else 1)
    assert sum(done.refused.values()) == 8 and done.kept == 12
    assert done.kept + done.changed + done.already + 8 == len(rows)


def test_a_trial_of_labels_counts_classes_after_additions_and_corrections(source, tmp_path):
    data = tmp_path / "data"
    ingest([label(source, i) for i in range(6)], data, "targets/pets")
    rows = [
        label(source, 1, label="dog", split="train"),
        label(source, 9, label="  dog ", split="val"),
    ]
    trial = tried(rows, data, "targets/pets", update=True)
    done = ingest(rows, data, "targets/pets", update=True)
    assert trial.result == done._replace(digest=trial.result.digest)
    assert trial.result.classes == 3 and trial.result.splits == {"train": 1, "val": 1, "test": 5}
    assert trial.classes.counts["dog"] == {"train": 1, "val": 1, "test": 0}


def test_what_an_import_would_refuse_as_a_whole_is_told(source, tmp_path):
    trial = tried([label(source, 2), label(source, 4)], tmp_path / "data", "targets/pets")
    assert "one class only, 'c0'" in trial.error and not (tmp_path / "data").exists()
    other = tmp_path / "other"
    trial = try_all({"posts": [post(source, 1, b"")]}, tmp_path / "data", other)["posts"]
    assert "nothing could be imported" in trial.error


def test_of_many_rows_a_sample_of_images_is_looked_at(source, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "IMAGES", 10)
    loads, load = [], module.load_image
    monkeypatch.setattr(module, "load_image", lambda *of: (loads.append(of), load(*of))[1])
    trial = tried([post(source, i) for i in range(30)], tmp_path / "data", "posts")
    assert len(loads) == trial.checked == 10 and trial.rows == trial.result.kept == 30
    write_preview(tmp_path / "sheet.html", {"posts": trial})
    assert "Of 30 new rows the images of 10 were looked at" in (tmp_path / "sheet.html").read_text()


class Tags(HTMLParser):
    """Counts elements."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)


def test_the_sheet_shows_classes_pictures_and_refused_rows_and_escapes_all(source, tmp_path):
    rows = [label(source, i, label=f"class {i % 60}") for i in range(130)]
    rows += [label(source, 200, label=STEER, split="train"), label(source, 201, b"", id=STEER)]
    trials = {"targets/pets": tried(rows, tmp_path / "data", "targets/pets")}
    posts = [post(source, 300, hashtags=[STEER, "sea"])]
    trials |= try_all({"posts": posts}, tmp_path / "data", tmp_path / "other")
    write_preview(tmp_path / "folder" / "sheet.html", trials)
    text = (tmp_path / "folder" / "sheet.html").read_text(encoding="utf-8")
    found = Tags(text).found
    assert found.count("img") == 40 + 1 and "script" not in found and "\x1b" not in text
    assert "default-src" in text and not re.search(r"(src|href)=\"(http|/)", text)
    assert "empty" in text and "201.jpg" in text and "sea" in text and "61 classes" in text
    shown = {picture.words for picture in trials["targets/pets"].pictures}
    assert len(shown) == 40, "one class is shown twice while others are not at all"


def broken(rows):
    yield from rows
    raise ValueError("the table is cut off")


def unreadable():
    raise ValueError("nowhere")
    yield


@pytest.mark.parametrize("replaced", [[], ["posts", "targets/pets"]])
def test_nothing_changes_where_one_of_two_sources_cannot_be_used(source, tmp_path, replaced):
    data = tmp_path / "data"
    kinds = {"posts": post, "targets/pets": label}
    old, good = {}, {}
    for name, make in kinds.items():
        old[name] = [make(source, i) for i in range(5)]
        good[name] = [make(source, i) for i in range(10, 20)]
    ingest_all(old, data)
    before = files(data)
    wrong = {
        "targets/pets": [
            [label(source, 50, b"")],
            [label(source, 2, label="c0")] * bool(replaced) or unreadable(),
        ],
        "posts": [[post(source, 51, b"bad")], unreadable()],
    }
    for name, sources in wrong.items():
        for rows in sources:
            with pytest.raises(ValueError, match=r"nothing could be|one class only|nowhere"):
                ingest_all(good | {name: rows}, data, replaced)
            assert files(data) == before and {path.name for path in data.iterdir()} == {
                "posts",
                "targets",
            }
    with pytest.raises(ValueError, match="cut off"):
        ingest_all(good | {"posts": broken(good["posts"])}, data, replaced)
    hidden = (".", "targets/.")  # what is done so far, for the next run
    assert {k: held for k, held in files(data).items() if not k.startswith(hidden)} == before
    results = ingest_all(good, data, replaced)
    assert [result.kept for result in results.values()] == [10, 10]
    assert {path.name for path in (data / "targets").iterdir()} == {"pets"}


def test_a_sheet_of_a_huge_image_holds_a_thumbnail(source, tmp_path):
    row = post(source, 1, picture(1, "PNG").ljust(1_000_000, b"\0"))
    [shown] = tried([row], tmp_path / "data", "posts").pictures
    assert len(shown.jpeg) < 40_000
