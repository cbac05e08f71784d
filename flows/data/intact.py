"""Whether what a stage reads is what was written: by SHA-256, each unchanged file hashed once.

Data stores have the SHA-256s of their shards in store.json, training shards in sha256.json.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from corpus.names import checked_name, checked_set
from corpus.progress import Progress
from engine.core.digest import digest
from flows.data import pointer
from flows.running import settings

DATA, MEMORY, NOTE = pointer.DATA, settings.STATE / "sha256.json", settings.STATE / "data.json"
CURE = (
    "`dvc checkout data.dvc` brings the files back, `dvc pull` where the cache lacks them; or "
    "import them again"
)
CURE_SQUARES = "the square images are made again by `dvc repro --force corpus`"
CURE_SHARDS = "`dvc checkout` brings them back, or `dvc repro --force corpus` builds them again"


def check_data(show: Progress | None = None) -> None:
    """ValueError that names the files of data/ that are not what their stores say, with the cure.

    What was found sound is noted with the text of data.dvc, and not looked at again while neither
    size, time nor inode of any file changes.
    """
    tree = _tree()
    if _noted().get("tree") != tree:
        _compared(stores(), show)
    # with the text of data.dvc, which is right at this moment: `put_back` takes it back after
    # damage
    write_note(tree=tree, pointer=pointer.pointer_text())


def check_present_data(show: Progress | None = None) -> None:
    """As `check_data`, of the files that are there: after a pull that was cut others may come."""
    if _noted().get("tree") != _tree():
        _compared((pair for pair in stores(lacking=True) if pair[0].exists()), show)


def _compared(pairs: Iterable[tuple[Path, str]], show: Progress | None) -> None:
    from corpus.checksums import damaged

    bad = damaged(pairs, MEMORY, show)
    if bad:
        back = pointer.put_back([each.path for each in bad], _noted().get("pointer", ""))
        raise ValueError(f"{_told(bad)}\n{len(bad)} damaged: {CURE}{back}")


def checked_shards(folder: Path) -> Path:
    """The folder of training shards, if its files are as they were written.

    ValueError names those that are not.
    """
    from corpus.checksums import damaged

    # a folder that is not there is told by who reads it, with the stage to run
    bad = damaged(_shards(folder), MEMORY) if folder.is_dir() else []
    if bad:
        raise ValueError(f"{_told(bad)}\n{len(bad)} damaged: {CURE_SHARDS}")
    return folder


def folder_of(target: str) -> Path:
    """The shards of a labelled set; ValueError names the sets that there are."""
    folder = settings.OUT / "corpus" / "targets"
    known = sorted(path.name for path in folder.glob("*") if path.is_dir())
    if not known:
        raise ValueError(f"{folder} is missing: run the stage corpus first (dvc repro corpus)")
    if target not in known:
        raise ValueError(
            f"targets: no labelled set {target!r}: name one of {', '.join(known)} ({folder})"
        )
    return checked_shards(folder / target)


def named_set(name: str) -> Path:
    """The folder of the training shards `hashtags` or targets/<name>.

    ValueError for any other name.
    """
    return settings.OUT / "corpus" / checked_set(name, "data")


def verify_files(show: Progress) -> int:
    """Hashes every file of data/, of the training shards and of the square images.

    Returns their number.

    ValueError lists each file that is not what was written.
    """
    from corpus.checksums import damaged
    from corpus.store.squares import cached_files, memory_of

    squares = settings.STATE / "squares"
    work = {
        CURE: ([*stores()], MEMORY),
        CURE_SHARDS: ([pair for folder in _built() for pair in _shards(folder)], MEMORY),
        CURE_SQUARES: ([*cached_files(squares)], memory_of(squares)),
    }
    bad, cures = [], []
    for cure, (pairs, memory) in work.items():
        # again: a decaying disk changes neither time nor size of a file
        found = damaged(pairs, memory, show, again=True)
        bad += found
        cures += [cure] if found else []
    count = sum(len(pairs) for pairs, _ in work.values())
    if bad:
        back = pointer.put_back(
            [each.path for each in bad if DATA in each.path.parents], _noted().get("pointer", "")
        )
        # what was noted before says that all is sound, and would be believed
        write_note(tree="")
        raise ValueError(
            f"{_told(bad)}\n{len(bad)} of {count} files damaged: {'; '.join(cures)}{back}"
        )
    return count


def stores(lacking: bool = False) -> Iterator[tuple[Path, str]]:
    """The files of all data stores and their SHA-256s.

    ValueError for a store without a sound store.json.

    lacking: a store whose store.json is not there is passed over.
    """
    from corpus.store.read import STORE, checksums

    # not the hidden ones, in which an import has its unfinished stores
    for folder in (DATA / "posts", *sorted((DATA / "targets").glob("[!.]*"))):
        if folder.is_dir() and ((folder / STORE).exists() or not lacking):
            if folder.name != "posts":
                checked_name(folder.name, f"{folder.parent}: a labelled set")
            yield from checksums(folder)


def _built() -> list[Path]:
    corpus = settings.OUT / "corpus"
    return [
        folder
        for folder in (corpus / "hashtags", *sorted((corpus / "targets").glob("[!.]*")))
        if folder.is_dir()
    ]


def _shards(folder: Path) -> Iterator[tuple[Path, str]]:
    from corpus.checksums import read_checksums

    try:
        sums = read_checksums(folder)
    except ValueError as error:
        raise ValueError(f"{error}: {CURE_SHARDS}") from None
    yield from ((folder / name, sha256) for name, sha256 in sums.items())


def _told(bad: list[Any]) -> str:
    """The first twenty, a line each."""
    more = [f"and {len(bad) - 20} more"] if len(bad) > 20 else []
    return "\n".join([*map(str, bad[:20]), *more])


def _tree() -> str:
    """A key of the files of data/: it changes with any size, time or inode."""
    found = []
    for folder, _, names in os.walk(DATA):
        for path in (Path(folder, name) for name in names):
            facts = path.stat() if path.exists() else path.lstat()  # a link to nothing
            # the inode: a file that was put in the place of another may have its size and its time
            found.append((str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino))
    return digest(sorted(found))


def _noted() -> dict[str, str]:
    try:
        found = json.loads(NOTE.read_text(encoding="utf-8"))
    # a note that is broken is as good as none: all is hashed again
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_note(name: str) -> str:
    """What was written down under a name; empty where nothing was."""
    return _noted().get(name, "")


def write_note(**new: str) -> None:
    """Writes down what was found, in one step."""
    known = _noted()
    if known | new != known:
        NOTE.parent.mkdir(exist_ok=True)
        part = NOTE.with_suffix(".part")
        part.write_text(json.dumps(known | new), encoding="utf-8")
        part.replace(NOTE)


def is_named() -> bool:
    """Whether data/ was found to be what data.dvc names, and neither has changed since."""
    return _noted().get("named") == _naming()


def note_named() -> None:
    """Notes that data/ is what data.dvc names."""
    write_note(named=_naming())


def _naming() -> str:
    return digest(_tree(), pointer.pointer_text())
