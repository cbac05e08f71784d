"""data/ as data.dvc names it: pulled, or out of DVC's cache, or else the sample drawn again."""

import shutil
import sys
from pathlib import Path
from typing import Any

from corpus.names import printable
from flows.data import intact, pointer
from flows.data.pointer import DATA, POINTER
from flows.running import dvc_private
from flows.running.orchestrate import progress

ADVICE = (
    "get the data from whoever made it (dvc remote add -d ..., dvc pull), or take the committed "
    "data.dvc back"
)


def restore_data(cut: bool = False) -> None:
    """Bring data/ to what data.dvc names; what is there stays, and is compared.

    cut: leave it as it is where an import was cut, since that goes on now. ValueError where data/
    or data.dvc cannot be used, is damaged, or where they belong to different data. An edit of other
    files than the stores' (synonyms.tsv) is told only: the next run takes it in.
    """
    # a schedule restores and then imports: what a kill has left must not stop it for ever
    if cut and intact.read_note("importing") and DATA.is_dir():
        pointer.mend_pointer()
        return
    md5 = pointer.md5()
    if _there():
        # compared before, and not touched since
        if intact.is_named():
            return
        with progress("check data/") as show:
            # before the comparison, to which a damaged file is other data
            intact.check_present_data(show)
        if md5 is not None and not _same(md5):
            _bring(md5)
    else:
        _bring(md5)
    with progress("check data/") as show:
        # all of it, now that nothing may lack
        intact.check_data(show)
    intact.note_named()


def _there() -> bool:
    """Whether data/ holds anything but an older or half drawn sample.

    ValueError if it cannot be used.
    """
    if DATA.is_symlink() and not DATA.exists():
        raise ValueError(f"{DATA} is a link to nothing: mend it, or take it away")
    if not DATA.exists():
        return False
    if not DATA.is_dir():
        raise ValueError(
            f"{DATA} is no folder: there is a file where a folder must be: move it away"
        )
    if _empty():
        return False
    seen = [path.name for path in DATA.iterdir() if not path.name.startswith(".")]
    if not _half_drawn() and not seen:
        raise ValueError(
            f"an import was cut, what it has done lies in {DATA}/: run the same `version add` "
            f"again and it goes on, or give it up: rm -r {DATA}/.*.part"
        )
    return not _half_drawn()


def _empty() -> bool:
    return not any(DATA.iterdir())


def _half_drawn() -> bool:
    # written last
    if (DATA / "posts" / "store.json").exists():
        return False
    from corpus.drawn.sample import is_sample

    return is_sample(DATA)


def _same(md5: str) -> bool:
    """Whether data/ is what data.dvc names, edits apart; False where files lack and can be brought.

    ValueError where it is other data.
    """
    with pointer.open_output() as (repo, out):
        if not dvc_private.differs(out):
            return True
        named = dvc_private.listing(out)
        others, lacking = ([str(DATA)], []) if named is None else pointer.differing(named)
        found = bool(repo.config["core"].get("remote")) or dvc_private.in_cache(out)
    stored = [name for name in others if _of_store(name)]
    if stored:
        raise ValueError(
            f"{DATA}/ is not what {POINTER} names (md5 {md5}): other data is in "
            f"{', '.join(stored[:3])}. `dvc checkout data.dvc` (or `dvc pull`) brings what it "
            "names, `dvc add data` makes what is there the new version, and an import that was cut "
            "ends when it is run again"
        )
    stored = [name for name in lacking if _of_store(name)]
    if stored:
        if found:
            return False
        raise ValueError(
            f"of {DATA}/ {len(stored)} files lack, such as {stored[0]}, and no DVC remote is "
            f"configured: {ADVICE}"
        )
    edited = ", ".join([*others, *lacking][:3])
    changed = f"{DATA}/ has changed since {POINTER} was written ({printable(edited)})"
    print(f"{changed}: the next run takes that in", file=sys.stderr)
    return True


def _of_store(name: str) -> bool:
    """Whether a file of data/ is one of a store's, which no person edits."""
    path = Path(name)
    # `_same` names data/ itself where there is no list of its files
    listed = path.suffix in (".tar", ".jsonl") and len(path.parts) > 1
    return listed or path.name == "store.json" or path == DATA


def _bring(md5: str | None) -> None:
    if DATA.exists() and _half_drawn():
        _removed()
    with pointer.open_output() as (repo, out):
        if md5 is not None and repo.config["core"].get("remote"):
            repo.pull(targets=[str(POINTER)])
        elif md5 is not None and dvc_private.in_cache(out):
            repo.checkout(targets=[str(POINTER)])
        else:
            _draw(repo, out, md5)


def _draw(repo: Any, out: Any, md5: str | None) -> None:
    """Draws the sample; ValueError where data.dvc names other data, and it is removed again."""
    from corpus.drawn.sample import draw_sample

    with progress("draw the sample") as show:
        draw_sample(DATA, progress=show)
    if out is not None and dvc_private.differs(out):
        # or the next call would find data/, and leave it there
        _removed()
        raise ValueError(f"data.dvc names other data (md5 {md5}) than the drawn sample: {ADVICE}")
    # not before the data is known to be what data.dvc names: a kill leaves that as it was
    repo.add(str(DATA))


def _removed() -> None:
    """Takes the drawn sample away."""
    for path in DATA.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    # a link to another disk stays, and what is drawn next lies there again
    if not DATA.is_symlink():
        DATA.rmdir()
