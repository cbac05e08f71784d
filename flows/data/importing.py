"""What `version add` does: sources read, checked, put into data/, told; or only tried."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from corpus.names import printable
from flows.data import intact
from flows.data.pointer import DATA
from flows.running import settings
from flows.running.orchestrate import progress, task

SHEET = settings.STATE / "preview.html"
LONGEST = 200  # letters of a stranger's name or reason that are printed


def _replaced(sources: dict[str, str], replace: bool) -> list[str]:
    """The stores that are put in place of older ones: all on demand, else those that were drawn."""
    from corpus.drawn.sample import is_drawn

    return [name for name in sources if replace or is_drawn(DATA / name)]


Left = dict[str, Counter[str]]  # by store: how many of what kind were left alone, as hidden files


def _rows(
    sources: dict[str, str],
    kinds: tuple[str | None, str | None],
    images: str | None,
    replaced: list[str],
    show: Any,
    left: Left,
    about: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """The rows of each source; ValueError for one that cannot be read: nothing has changed then.

    kinds: of the labelled set, of the posts. `about` takes, by store, what its source says of the
    set as a whole.
    """
    from corpus.sources.source import source_rows
    from corpus.store.account import looked_at
    from corpus.store.read import place_of, wanted_kind

    spool = settings.STATE / "spool"
    found = {}
    for name, source in sources.items():
        asked = kinds[1] if name == "posts" else kinds[0]
        of = wanted_kind(place_of(DATA, name), name, asked, name in replaced)
        told = {"left": left[name], "about": about.setdefault(name, {})}
        read = source_rows(source, images, of.name, spool, progress=show, **told)
        found[name] = looked_at(read)
    return found


@task
def import_sources(
    sources: dict[str, str],
    images: str | None,
    replace: bool,
    update: bool,
    kind: str | None = None,
    posts_kind: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Add the rows of the sources, store -> source (local or s3://), to data/; an account of each.

    All of them are read and checked before any store changes. ValueError: none has. `kind`: of the
    labelled set, `posts_kind`: of the posts, where it is not what the store has.
    """
    from corpus.store.account import Unusable
    from corpus.store.categories import note_categories, unused_note
    from corpus.store.ingest import ingest_all
    from corpus.store.read import kind_of, place_of
    from corpus.store.write import locked, recover

    left = {name: Counter() for name in sources}
    with progress("import") as show:
        with locked(DATA):
            # a cut import may have left a store between its old and its new files
            for name in sources:  # before it is asked what is there, and whether that was drawn
                recover(place_of(DATA, name))
        replaced = _replaced(sources, replace)
        about: dict[str, dict[str, Any]] = {}
        found = _rows(sources, (kind, posts_kind), images, replaced, show, left, about)
        before = intact.read_note("importing")
        # until data.dvc names what is in data/: `restore` then leaves that as it is
        intact.write_note(importing="yes")
        try:
            of = {"kind": kind, "posts_kind": posts_kind}
            results = ingest_all(found, DATA, replaced, update, progress=show, **of)
        # nothing has changed: an import that was cut before this one is still under way
        except Unusable:
            intact.write_note(importing=before)
            raise
        for name, said in about.items():
            classes = said.get("categories", ())
            note_categories(place_of(DATA, name), classes, name in replaced)
            if classes:
                folder = place_of(DATA, name)
                lines = unused_note(folder, kind_of(folder, name))
                results[name] = results[name]._replace(notes=(*results[name].notes, *lines))
    # kept until here, so that a cut import need not download again
    shutil.rmtree(settings.STATE / "spool", ignore_errors=True)
    return {name: result._asdict() | {"left": left[name]} for name, result in results.items()}


@task
def try_import(
    sources: dict[str, str],
    images: str | None,
    replace: bool,
    update: bool,
    sheet: Path,
    kind: str | None = None,
    posts_kind: str | None = None,
) -> None:
    """Print what `imported` would do and write the sheet; data/ stays as it is.

    ValueError where the import would be refused.
    """
    from corpus.store.preview import write_preview
    from corpus.store.trial import try_all

    scratch, left = settings.STATE / "trial", {name: Counter() for name in sources}
    # of a dry run that was killed
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with progress("dry run") as show:
            replaced = _replaced(sources, replace)
            found = _rows(sources, (kind, posts_kind), images, replaced, show, left, {})
            of = {"kind": kind, "posts_kind": posts_kind}
            trials = try_all(found, DATA, scratch, replaced, update, progress=show, **of)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_preview(sheet, trials)
    for name, trial in trials.items():
        result = trial.result._asdict() | {"left": left[name]}
        print("\n".join(import_lines(name, result, tried=True)))
        if trial.rows > trial.checked:
            looked = f"{trial.checked:,} images were looked at, chosen at random"
            print(f"  of {trial.rows:,} new rows {looked}")
    print(f"nothing was changed; to look at: {sheet}")
    if (settings.STATE / "spool").exists():
        print(f"what was downloaded is kept in {settings.STATE / 'spool'} for the import")
    errors = [trial.error for trial in trials.values() if trial.error]
    if errors:
        raise ValueError("the import would be refused: " + "; ".join(errors))


def import_lines(name: str, result: dict[str, Any], tried: bool = False) -> list[str]:
    """What became of the rows of one source, in lines that any terminal can show."""
    would = "would be " if tried else ""
    counts = [f"{result['kept']} {would}added"]
    counts += [f"{result['changed']} {would}changed"] if result.get("changed") else []
    counts += [f"{result['already']} there already", f"{sum(result['refused'].values())} refused"]
    digest = "" if tried else f"; digest {result['digest'][:12]}"
    lines = [f"{name}: {', '.join(counts)}{digest}"]
    for reason, count in sorted(result["refused"].items(), key=lambda item: -item[1]):
        lines.append(f"  {count} x {printable(reason)[:LONGEST]}")
    if result["left"]:  # no rows: hidden files, members that nobody reads, ...
        counts = [f"{n} x {printable(kind)}" for kind, n in sorted(result["left"].items())]
        lines.append(f"  left alone: {', '.join(counts)}")
    for row in result["first"]:
        shown = (printable(row[key])[:LONGEST] for key in ("where", "image", "reason"))
        lines.append("  {}, {}: {}".format(*(each or "no image" for each in shown)))
    if result.get("joined"):
        lines.append(f"  {result['joined']:,} rows were joined to another of their image")
    lines += _differences(result)
    if result.get("splits"):
        splits = ", ".join(f"{count:,} {split}" for split, count in result["splits"].items())
        classes = f"{result['classes']:,} classes; " if result["classes"] else ""
        lines.append(f"  {classes}images: {splits}")
    return lines + [f"  note: {printable(line)}" for line in result.get("notes", ())]


def _differences(result: dict[str, Any]) -> list[str]:
    lines = []
    number = result.get("differing")
    if number:
        say = "1 of them differs" if number == 1 else f"{number:,} of them differ"
        lines.append(f"  {say} from what is there: --update takes the new ones; the first:")
    elif result.get("differences"):
        lines.append("  changed, the first:")
    for each in result.get("differences", ()):
        words = (printable(each[key])[:LONGEST] for key in ("where", "id", "change"))
        lines.append("    {}, id {}: {}".format(*words))
    number = result.get("repeated")
    if number:
        others = f"  {number:,} of them repeat an id with other content"
        lines.append(f"{others}: the row that says what is stored, or else the first, counts")
    return lines
