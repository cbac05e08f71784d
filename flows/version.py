"""Data versioning: one's own posts validated, put into data/, versioned by DVC; or what data.dvc names brought back."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from flows import settings
from flows.command import user_errors
from flows.orchestrate import flow, progress, task

DATA, POINTER, QUARANTINE = Path("data"), Path("data.dvc"), Path("data/quarantine.jsonl")
SAMPLE_ADVICE = (
    "get the data from whoever made it (dvc remote add -d ..., dvc pull), or take the committed data.dvc back"
)


@task
def imported(source: str, images: str | None, name: str, replace: bool) -> dict[str, Any]:
    """Add rows and images of a source (local or s3://) to the store data/`name`; counts, and the first refused rows."""
    from corpus.sample import drawn
    from corpus.sources.source import rows
    from corpus.store.ingest import ingest

    kind = "posts" if name == "posts" else "labels"
    spool = settings.STATE / "spool"
    with progress(f"import {kind}") as show:
        found = rows(source, images, kind, spool, progress=show)
        result = ingest(found, DATA, name, replace or drawn(DATA / name), progress=show)
    shutil.rmtree(spool, ignore_errors=True)  # kept until here, so that a cut import need not download again
    return result._asdict()


@task
def added() -> str:
    """`dvc add data`, and `dvc push` when a remote is configured; returns the data version."""
    from dvc.repo import Repo

    from flows.tracking import data_version

    with Repo(_wait_for_lock=True) as repo:
        repo.add(str(DATA))
        remote = repo.config["core"].get("remote")
        if remote:
            pushed = repo.push(targets=[str(POINTER)])
            print(f"pushed {pushed} files to the remote {remote!r}", file=sys.stderr)
    return data_version()


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
    from flows.tracking import connect, data_version

    if not posts and not labels:
        raise ValueError("nothing to add: give --posts SOURCE, --labels SOURCE, or both")
    connect()  # a server that is down is told before anything is replaced
    jobs = {"posts": posts, f"targets/{target}": labels}
    results = {name: imported(source, images, name, replace) for name, source in jobs.items() if source}
    before, digest = data_version(), added()
    if digest != before:  # a watched source is asked every night, and most nights have nothing new
        record(results, digest)
    for name, result in results.items():
        told = f"{name}: {result['kept']} added, {result['already']} there already"
        print(f"{told}, {sum(result['refused'].values())} refused; digest {result['digest'][:12]}")
        for reason, count in sorted(result["refused"].items(), key=lambda item: -item[1]):
            print(f"  {count} x {reason}")
        for row in result["first"]:
            print(f"  {row['where']}, {row['image'] or 'no image'}: {row['reason']}")
    if QUARANTINE.exists():
        print(f"all that was refused, with the reasons: {QUARANTINE}")
    if labels:
        print(f"to use these labels: `targets: [{target}]` in the sections finetune and evaluate of params.yaml")
    print(f"data version {digest}: commit data.dvc, then `make repro`")
    return digest


@task
def record(results: dict[str, Any], digest: str) -> None:
    """The import as a run in MLflow, with the list of what was refused."""
    from flows.tracking import stage_run

    with stage_run("version", {"data": digest}) as run:
        for name, result in results.items():
            counts = {"added": result["kept"], "already": result["already"], "refused": sum(result["refused"].values())}
            run.metrics({f"{name.replace('/', '_')}_{what}": count for what, count in counts.items()})
        if QUARANTINE.exists():
            run.files(QUARANTINE)


def restore() -> None:
    """Bring data/ to what data.dvc names: from the DVC remote, or, without one, by drawing the sample again."""
    from corpus.sample import is_sample

    older = is_sample(DATA) and not (DATA / "posts" / "store.json").exists()  # drawn by an earlier version, or half
    if DATA.is_dir() and any(DATA.iterdir()) and not older:
        return
    from dvc.repo import Repo

    with Repo(_wait_for_lock=True) as repo:
        remote = repo.config["core"].get("remote")
        if remote and POINTER.exists():
            repo.pull(targets=[str(POINTER)])
            return
        from corpus.sample import draw

        committed = POINTER.read_text() if POINTER.exists() else None
        with progress("draw the sample") as show:
            draw(DATA, progress=show)
        repo.add(str(DATA))
    if committed not in (None, POINTER.read_text()):
        drawn = POINTER.read_text()
        POINTER.write_text(committed)
        raise ValueError(f"data.dvc names other data than the drawn sample ({drawn.split()[2]}): {SAMPLE_ADVICE}")


def main() -> None:
    """Command line: `add` one's own posts and labels, or `restore` what data.dvc names."""
    parser = argparse.ArgumentParser(prog="python -m flows.version", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="add one's own posts and labels to data/ and version them")
    add.add_argument("--images", help="folder or s3:// prefix that a manifest's names are relative to (default: its)")
    add.add_argument(
        "--posts",
        metavar="SOURCE",
        help="a manifest with columns image, hashtags and, where known, id, user, time (CSV, JSONL, Parquet), or "
        "img2dataset/webdataset tars (a tar, a folder of them, shards/{00000..00009}.tar); local or s3://; or, for "
        "studies, a folder with a folder of images per class, which a model of how people tag turns into posts",
    )
    add.add_argument(
        "--labels",
        metavar="SOURCE",
        help="likewise with columns image, label and, where known, split (train, val, test)",
    )
    add.add_argument(
        "--target", default="target", help="name of the labelled set (params.yaml: finetune.targets, evaluate.targets)"
    )
    add.add_argument("--replace", action="store_true", help="put them in place of what data/ has, instead of adding")
    commands.add_parser("restore", help="pull what data.dvc names, or draw the sample when there is no remote")
    options = vars(parser.parse_args())
    with user_errors():
        restore() if options.pop("command") == "restore" else version(**options)


if __name__ == "__main__":
    main()
