"""Data versioning: one's own posts validated, put into data/, versioned by DVC; or what data.dvc names brought back."""

import argparse
import sys
from pathlib import Path
from typing import Any

from flows.command import user_errors
from flows.orchestrate import flow, progress, task

DATA, POINTER, QUARANTINE = Path("data"), Path("data.dvc"), Path("data/quarantine.jsonl")
SAMPLE_ADVICE = (
    "get the data from whoever made it (dvc remote add -d ..., dvc pull), or take the committed data.dvc back"
)


@task
def imported(images: str, manifest: str, out: Path, kind: str) -> dict[str, Any]:
    """Read images and manifest (local or s3://) into the store `out`; counts, and the first refused rows."""
    from corpus.sources import import_posts

    with progress(f"import {kind}") as show:
        result = import_posts(images, manifest, out, kind=kind, progress=show)
    return {"kept": result.kept, "refused": len(result.quarantined), "first": result.quarantined[:3]}


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
def version(posts: str | None = None, labels: str | None = None, images: str = ".", target: str = "target") -> str:
    """Put posts (a manifest of image, hashtags, user, time) and labels (image, label, split) into data/ and version it.

    Rows that cannot be used are left out, counted, and listed with the reason in data/quarantine.jsonl.
    """
    from flows.tracking import connect

    if not posts and not labels:
        raise ValueError("nothing to add: give --posts MANIFEST, --labels MANIFEST, or both")
    connect()  # a server that is down is told before anything is replaced
    jobs = [(posts, DATA / "posts", "posts"), (labels, DATA / "targets" / target, "labels")]
    results = {kind: imported(images, manifest, out, kind) for manifest, out, kind in jobs if manifest}
    digest = added()
    record(results, digest)
    for kind, result in results.items():
        print(f"{kind}: {result['kept']} kept, {result['refused']} refused")
        for row in result["first"]:
            print(f"  row {row['row']}, {row['image'] or 'no image'}: {row['reason']}")
    if QUARANTINE.exists():
        print(f"all that was refused, with the reasons: {QUARANTINE}")
    if labels:
        print(f"to use these labels: `target: {target}` in the sections finetune and evaluate of params.yaml")
    print(f"data version {digest}: commit data.dvc, then `make repro`")
    return digest


@task
def record(results: dict[str, Any], digest: str) -> None:
    """The import as a run in MLflow, with the list of what was refused."""
    from flows.tracking import stage_run

    with stage_run("version", {"data": digest}) as run:
        for kind, result in results.items():
            run.metrics({f"{kind}_kept": result["kept"], f"{kind}_refused": result["refused"]})
        if QUARANTINE.exists():
            run.files(QUARANTINE)


def restore() -> None:
    """Bring data/ to what data.dvc names: from the DVC remote, or, without one, by drawing the sample again."""
    if DATA.is_dir() and any(DATA.iterdir()):
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
    add = commands.add_parser("add", help="put one's own posts and labels into data/ and version them")
    add.add_argument("--images", default=".", help="folder or s3:// prefix that the manifests' names are relative to")
    add.add_argument(
        "--posts", help="manifest with columns image, hashtags and, where known, id, user, time (CSV, JSONL, Parquet)"
    )
    add.add_argument("--labels", help="manifest with columns image, label and, where known, split (train, val, test)")
    add.add_argument(
        "--target", default="target", help="name of the labelled set (params.yaml: finetune.target, evaluate.target)"
    )
    commands.add_parser("restore", help="pull what data.dvc names, or draw the sample when there is no remote")
    options = vars(parser.parse_args())
    with user_errors():
        restore() if options.pop("command") == "restore" else version(**options)


if __name__ == "__main__":
    main()
