"""Data versioning: one's own posts validated, put into data/, versioned by DVC; or what data.dvc names brought back."""

import argparse
import shutil
import sys
from collections import Counter
from typing import Any

from corpus.names import checked_name, printable
from flows import intact, pointer, settings
from flows.command import user_errors
from flows.orchestrate import flow, progress, task
from flows.pointer import DATA, POINTER
from flows.restore import restore

QUARANTINE = DATA / "quarantine.jsonl"
LONGEST = 200  # letters of a stranger's name or reason that are printed


@task
def imported(source: str, images: str | None, name: str, replace: bool) -> dict[str, Any]:
    """Add rows and images of a source (local or s3://) to the store data/`name`; counts, and the first refused rows."""
    from corpus.sample import drawn
    from corpus.sources.source import rows
    from corpus.store.ingest import ingest, place_of
    from corpus.store.write import locked, recover

    with locked(DATA):
        recover(place_of(DATA, name))  # before it is asked whether what is there was drawn
    kind = "posts" if name == "posts" else "labels"
    spool, left = settings.STATE / "spool", Counter()
    with progress(f"import {kind}") as show:
        found = rows(source, images, kind, spool, progress=show, left=left)
        result = ingest(found, DATA, name, replace or drawn(DATA / name), progress=show)
    shutil.rmtree(spool, ignore_errors=True)  # kept until here, so that a cut import need not download again
    return result._asdict() | {"left": dict(left)}


@task
def added() -> str:
    """`dvc add data`, and `dvc push` when a remote is configured; returns the data version.

    ValueError where data/ is damaged: data.dvc must never name that.
    """
    from dvc.repo import Repo

    from flows.tracking import data_version

    with progress("check data/") as show:
        intact.data(show)
    with Repo(_wait_for_lock=True) as repo:
        repo.add(str(DATA))
        intact.note_named()
        intact.note(importing="")
        remote = repo.config["core"].get("remote")
        if remote:
            pushed = repo.push(targets=[str(POINTER)])
            print(f"pushed {pushed} files to the remote {remote!r}", file=sys.stderr)
    return data_version()


def _recorded() -> str:
    """The data version that MLflow has the import of; one that was cut before that is recorded when it runs again."""
    pointer.mended()
    if not intact.noted("recorded"):
        intact.note(recorded=pointer.md5() or "unversioned")
    return intact.noted("recorded")


@flow
def version(
    posts: str | None = None,
    labels: str | None = None,
    images: str | None = None,
    target: str = "target",
    replace: bool = False,
) -> str:
    """Add posts (image, hashtags, user, time) and labels (image, label, split) to data/ and version it.

    Rows that cannot be used are left out, counted, and listed with the reason in data/quarantine.jsonl.
    """
    from flows.tracking import connect

    if not posts and not labels:
        raise ValueError("nothing to add: give --posts SOURCE, --labels SOURCE, or both")
    checked_name(target, "--target")
    connect()  # a server that is down is told before anything is replaced
    known = _recorded()
    intact.note(importing="yes")  # until data.dvc names it: `restore` then leaves data/ as it is
    jobs = {"posts": posts, f"targets/{target}": labels}
    results = {name: imported(source, images, name, replace) for name, source in jobs.items() if source}
    digest = added()
    if digest != known:  # a watched source is asked every night, and most nights have nothing new
        record(results, digest)
        intact.note(recorded=digest)
    for name, result in results.items():
        print("\n".join(told(name, result)))
    if QUARANTINE.exists():
        print(f"all that was refused, with the reasons: {QUARANTINE}")
    if labels:
        print(f"to use these labels: `targets: [{target}]` in the sections finetune and evaluate of params.yaml")
    print(f"data version {digest}: commit data.dvc, then `make repro`")
    return digest


def told(name: str, result: dict[str, Any]) -> list[str]:
    """What became of the rows of one source, in lines that any terminal can show."""
    counts = f"{result['kept']} added, {result['already']} there already, {sum(result['refused'].values())} refused"
    lines = [f"{name}: {counts}; digest {result['digest'][:12]}"]
    for reason, count in sorted(result["refused"].items(), key=lambda item: -item[1]):
        lines.append(f"  {count} x {printable(reason)[:LONGEST]}")
    if left := result.get("left"):  # no rows: hidden files, members that nobody reads, ...
        counts = (f"{count} x {printable(what)}" for what, count in sorted(left.items()))
        lines.append(f"  left alone: {', '.join(counts)}")
    for row in result["first"]:
        shown = (printable(row[key])[:LONGEST] for key in ("where", "image", "reason"))
        lines.append("  {}, {}: {}".format(*(each or "no image" for each in shown)))
    return lines


@task
def record(results: dict[str, Any], digest: str) -> None:
    """The import as a run in MLflow, with the list of what was refused."""
    from flows.tracking import single_run

    with single_run("version add", ", ".join(results), {"data": digest}) as run:
        for name, result in results.items():
            counts = {"added": result["kept"], "already": result["already"], "refused": sum(result["refused"].values())}
            run.metrics({f"{name.replace('/', '_')}_{what}": count for what, count in counts.items()})
        if QUARANTINE.exists():
            run.files(QUARANTINE)


def verify() -> None:
    """Hash all data, shards and square images anew; ValueError lists each file that is not what was written."""
    with progress("verify") as show:
        count = intact.verify(show)
    print(f"{count} files are what was written")


def main() -> None:
    """Command line: `add` one's own posts and labels, `restore` what data.dvc names, `verify` all of it."""
    parser = argparse.ArgumentParser(prog="python -m flows.version", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="add one's own posts and labels to data/ and version them")
    add.add_argument(
        "--images",
        help="folder or s3:// prefix that a table's names are relative to (default: where it lies); "
        "nothing outside of it is read; links out of a folder of classes may lead into it",
    )
    add.add_argument(
        "--posts",
        metavar="SOURCE",
        help="a table with columns image, hashtags (or caption, text: words after #) and, where "
        "known, id, user, time (CSV, JSONL, Parquet, also with images within), a folder or pattern "
        "of such tables, or img2dataset/webdataset tars (a tar, a folder of them, "
        "shards/{00000..00009}.tar); local or s3://; or, for studies, a folder with a folder of "
        "images per class, which a model of how people tag turns into posts",
    )
    add.add_argument(
        "--labels",
        metavar="SOURCE",
        help="likewise with columns image, label and, where known, split (train, val, test), or "
        "images by class; folders and part files that say train, val or test are splits: train/cat/",
    )
    add.add_argument(
        "--target", default="target", help="name of the labelled set (params.yaml: finetune.targets, evaluate.targets)"
    )
    add.add_argument("--replace", action="store_true", help="put them in place of what data/ has, instead of adding")
    commands.add_parser("restore", help="pull what data.dvc names, or draw the sample when there is no remote")
    commands.add_parser("verify", help="hash every file of data/ and out/corpus: is it what was written?")
    options = vars(parser.parse_args())
    jobs = {"add": version, "restore": restore, "verify": verify}
    with user_errors():
        jobs[options.pop("command")](**options)


if __name__ == "__main__":
    main()
