"""The benchmark of importing videos, in small."""

from benchmarks.video_files import Videos
from benchmarks.video_import import decoded, drawn, imported, told


def test_a_small_run_counts_what_it_made(tmp_path):
    videos = Videos(48, 32, 30, 2, 30)
    posted = drawn(tmp_path / "own", videos)
    assert imported(tmp_path / "own", tmp_path / "data") > 0
    found = [decoded(tmp_path / "data", tmp_path / "cache", 16, rate) for rate in (30, 15)]
    assert [one.frames for one in found] == [60, 30] and posted > 1000
    assert found[1].bytes < 0.6 * found[0].bytes
    minutes = 2 / 60
    lines = told(videos, posted, 0.5, found).splitlines()
    assert "| videos/s | 4.0 |" in lines
    assert lines[-1].split(" | ")[:2] == ["| 16", "15"]
    assert lines[-1].endswith(f"| {found[1].bytes / 2**20 / minutes:.1f} |")
