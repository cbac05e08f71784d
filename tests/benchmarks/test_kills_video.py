"""What is compared of a killed import, and that what is missing or more differs too."""

from benchmarks.kills_methods import Method
from benchmarks.kills_video import FILM, POSTS, kept, reached, source, table


def test_files_and_counts_are_compared(tmp_path):
    for name, text in (("data/a", "1"), ("data/b/c", "2"), ("other", "3"), ("counts.json", "4")):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    before = kept("data")(tmp_path)
    assert set(before) == {"data/a", "data/b/c", "counts.json"}
    (tmp_path / "data" / "a").write_text("5")
    after = kept("data")(tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["data/a"]


def test_how_far_an_import_was_is_told(tmp_path):
    assert reached(tmp_path) == "start-up"
    for place in ("spool/1.tar", "data/.posts.part/shards/2.tar"):
        file = tmp_path / place
        file.parent.mkdir(parents=True)
        file.touch()
    assert reached(tmp_path) == "1 tars"


def test_the_drawn_source_has_bad_files(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.kills_video.POSTS", 52)
    monkeypatch.setattr("benchmarks.kills_video.FILM", FILM._replace(size=16, frames=2))
    csv = source(tmp_path / "drawn")
    assert len(csv.read_text().splitlines()) == 53 and source(tmp_path / "drawn") == csv
    sizes = [file.stat().st_size for file in sorted(csv.parent.glob("*.mp4"))]
    assert sizes[50] == 0 and min(sizes[1:50]) > 0


def test_the_table_counts_exact_runs():
    found = [Method("import", 4.0, ["1.0 s, 2 tars"], faults=["1.0 s, 2 tars: data/x differs"])]
    text = table(found, "python")
    assert "| import | 1 | 0 of 1 | 4.0 | 1.0 s, 2 tars; 1.0 s, 2 tars: data/x differs |" in text
    assert str(POSTS) in text
