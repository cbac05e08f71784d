"""The workers of a search on Dask or Ray: as many calls as workers, each a searcher of its own."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from flows.running import executors
from flows.searching import clusters
from flows.searching.workers import LocalWorkers, worker_count

SEARCHER = """import sys
assert sys.stdin.readline() == "\\n"
open(sys.argv[1].strip("-"), "a").write("worked\\n")
sys.exit("fail" in open("what").read())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The project's folder, with a searcher that notes that it was there."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").touch()
    (tmp_path / "flows" / "searcher.py").write_text(SEARCHER)
    (tmp_path / "what").write_text("end well")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of threads; the number of workers that it was asked for."""
    asked = []

    @contextmanager
    def opened(kind, workers):
        asked.append((kind, workers))
        with ThreadPoolExecutor(workers) as pool:
            yield pool.submit

    monkeypatch.setattr(executors, "opened", opened)
    return asked


def worked(folder, monkeypatch, workers: int) -> clusters.ClusterWorkers:
    found = clusters.ClusterWorkers(workers, kind="dask")
    settings = {"PYTHONPATH": str(folder)}
    monkeypatch.setattr(found, "settings", lambda i: settings)
    found.prepare()
    assert found.children == []
    found.begin(search=None)
    return found


def test_all_but_the_stage_itself_are_calls(folder, cluster, monkeypatch, caplog):
    found = worked(folder, monkeypatch, 3)
    for call in found.calls:
        call.result(60)
    found.poll()
    found.wait()
    found.stop()
    assert cluster == [("dask", 2)] and not caplog.text
    assert (folder / "follow").read_text() == "worked\nworked\n"


def test_a_worker_that_is_lost_for_good_is_told_once(folder, cluster, monkeypatch, caplog):
    (folder / "what").write_text("fail")
    found = worked(folder, monkeypatch, 2)
    assert isinstance(found.calls[0].exception(60), RuntimeError)
    found.poll()
    found.poll()
    found.stop()
    assert caplog.text.count("a worker of the search is lost") == 1


def test_a_single_worker_asks_for_no_cluster(folder, cluster, monkeypatch):
    worked(folder, monkeypatch, 1).stop()
    assert cluster == []


def test_the_runner_says_where_and_how_many(monkeypatch):
    monkeypatch.setattr(LocalWorkers, "prepare", lambda self: None)
    for text, kind in (("", LocalWorkers), ("processes:3", LocalWorkers)):
        monkeypatch.setenv("TAGDAG_RUNNER", text)
        with clusters.search_workers(2) as found:
            assert type(found) is kind
    monkeypatch.setenv("TAGDAG_RUNNER", "dask:3")
    assert worker_count(2) == 3
    with clusters.search_workers(2) as found:
        assert type(found) is clusters.ClusterWorkers and found.kind == "dask"
