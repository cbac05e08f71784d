"""SHA-256s compared before files are read: hashed once while a file stays the same, and again
when it is another.
"""

import json
import os
import threading
from pathlib import Path

import pytest

from corpus import checksums
from corpus.checksums import Memory, damaged, file_sha256, read_checksums, write_checksums


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three files and their list."""
    (tmp_path / "set").mkdir()
    for name in "abc":
        (tmp_path / "set" / name).write_text(name * 1000)
    write_checksums(tmp_path / "set", {})
    return tmp_path / "set"


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """Names of the files that are hashed."""
    names, whole = [], checksums.file_sha256
    monkeypatch.setattr(
        checksums, "file_sha256", lambda path: names.append(path.name) or whole(path)
    )
    return names


def pairs(folder: Path) -> list[tuple[Path, str]]:
    return [(folder / name, sha256) for name, sha256 in read_checksums(folder).items()]


def flip(path: Path, keep_time: bool = False) -> None:
    facts, data = path.stat(), bytearray(path.read_bytes())
    data[500] ^= 1
    with path.open("r+b") as file:  # in place: the inode stays
        file.write(data)
    if keep_time:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_a_file_is_hashed_once_until_it_is_touched_copied_or_changed(folder, hashed, tmp_path):
    memory = tmp_path / "memory" / "sha256.json"
    assert damaged(pairs(folder), memory) == [] and sorted(hashed) == ["a", "b", "c"]
    assert damaged(pairs(folder), memory) == [] and len(hashed) == 3
    os.utime(folder / "a")
    (tmp_path / "copy").write_bytes((folder / "b").read_bytes())
    (tmp_path / "copy").replace(folder / "b")
    assert damaged(pairs(folder), memory) == [] and sorted(hashed[3:]) == ["a", "b"]
    assert damaged(pairs(folder), memory) == [] and len(hashed) == 5
    flip(folder / "c")
    for _ in range(2):  # what is damaged stays so
        [bad] = damaged(pairs(folder), memory)
        assert bad == (folder / "c", read_checksums(folder)["c"], file_sha256(folder / "c"))
        assert str(folder / "c") in str(bad) and bad.expected in str(bad) and bad.actual in str(bad)


def test_all_can_be_hashed_again_so_that_decay_is_found_and_not_forgotten(folder, tmp_path):
    memory = tmp_path / "sha256.json"
    assert damaged(pairs(folder), memory) == []
    flip(folder / "a", keep_time=True)
    assert damaged(pairs(folder), memory) == []
    assert [bad.path.name for bad in damaged(pairs(folder), memory, again=True)] == ["a"]
    assert [bad.path.name for bad in damaged(pairs(folder), memory)] == ["a"]


def test_missing_and_unreadable_files_and_lists_are_told(folder, tmp_path):
    (folder / "a").unlink()
    (folder / "b").unlink()
    (folder / "b").mkdir()
    found = {bad.path.name: bad.actual for bad in damaged(pairs(folder), tmp_path / "sha256.json")}
    assert found == {"a": "no file", "b": "unreadable (Is a directory)"}
    for text in ("", "[1]", "{"):
        (folder / "sha256.json").write_text(text)
        with pytest.raises(ValueError, match=r"sha256\.json is damaged"):
            read_checksums(folder)
    (folder / "sha256.json").unlink()
    with pytest.raises(ValueError, match=r"sha256\.json is missing"):
        read_checksums(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"x": [[1, 2, 3], 4]}', "\x00\xff"])
def test_a_broken_memory_is_begun_anew(folder, hashed, tmp_path, text):
    memory = tmp_path / "sha256.json"
    memory.write_text(text, encoding="latin-1")
    assert damaged(pairs(folder), memory) == [] and len(hashed) == 3
    assert damaged(pairs(folder), memory) == [] and len(hashed) == 3


def test_a_kill_while_hashing_costs_little(folder, tmp_path, monkeypatch, hashed):
    memory = tmp_path / "sha256.json"
    monkeypatch.setattr(checksums, "SAVED", 1500)
    save = Memory.save
    monkeypatch.setattr(
        Memory, "save", lambda self: save(self) if len(hashed) < 3 else os.kill(os.getpid(), 9)
    )
    pid = os.fork()
    if not pid:
        damaged(pairs(folder), memory)
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(json.loads(memory.read_text())) == 2


def test_processes_that_start_together_hash_each_file_once(folder, hashed, tmp_path):
    memory, barrier = tmp_path / "sha256.json", threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        assert damaged(pairs(folder), memory) == []

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(hashed) == ["a", "b", "c"]
