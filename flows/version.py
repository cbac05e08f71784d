"""Data versioning: one's own posts validated, put into data/, versioned by DVC.

Or what data.dvc names brought back.

Read in this order:

- flows/data/importing.py: what an import does, or would do,
- corpus/sources/source.py: tables, tars and folders as one stream of rows,
- corpus/store/ingest.py: rows checked and written, in whole shards,
- flows/data/restore.py: data/ as data.dvc names it,
- flows/data/exporting.py: boxes and panoptic maps in the formats of others,
- flows/data/intact.py: whether a file is what was written.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from corpus.names import checked_name, printable
from flows.cli.command import program, user_errors
from flows.data import exporting, intact, pointer
from flows.data.importing import SHEET, import_lines, import_sources, try_import
from flows.data.pointer import DATA, POINTER
from flows.data.restore import restore_data
from flows.running.dvc_private import repository
from flows.running.orchestrate import flow, progress, task

QUARANTINE = DATA / "quarantine.jsonl"


@task
def add_to_dvc() -> str:
    """`dvc add data`, and `dvc push` when a remote is configured; returns the data version.

    ValueError where data/ is damaged: data.dvc must never name that.
    """
    from flows.tracking.tracking import data_version

    # before `add`: whatever data/ holds then, DVC will bring back
    with progress("check data/") as show:
        intact.check_data(show)
    with repository() as repo:
        repo.add(str(DATA))
        intact.note_named()
        # from here on `restore` may bring back what data.dvc names
        intact.write_note(importing="")
        remote = repo.config["core"].get("remote")
        if remote:
            pushed = repo.push(targets=[str(POINTER)])
            print(f"pushed {pushed} files to the remote {remote!r}", file=sys.stderr)
    return data_version()


def _recorded() -> str:
    """The data version that MLflow has the import of.

    One that was cut before that is recorded when it runs again.
    """
    # a kill may have left data.dvc half written, which `pointer.md5` refuses
    pointer.mend_pointer()
    if not intact.read_note("recorded"):
        intact.write_note(recorded=pointer.md5() or "unversioned")
    return intact.read_note("recorded")


@flow
def version(
    posts: str | None = None,
    labels: str | None = None,
    images: str | None = None,
    target: str = "target",
    replace: bool = False,
    update: bool = False,
    dry_run: bool = False,
    sheet: str | None = None,
    kind: str | None = None,
    posts_kind: str | None = None,
) -> str:
    """Add posts and labels to data/ and version it.

    Posts have image, hashtags, user and time, labels have image, label and split, or what `kind`
    says (corpus/kinds): it is given once, with the first import of a set, as is `posts_kind` with
    the first import of posts that are not of images. Rows that cannot
    be used are left out, counted, and listed with the reason in data/quarantine.jsonl. A row whose
    id is there already leaves that as it is, or with `update` takes its place. `dry_run` says what
    would happen and changes nothing; `sheet` is the page that it writes.
    """
    from flows.tracking.tracking import connect

    jobs = {"posts": posts, f"targets/{target}": labels}
    sources = {name: source for name, source in jobs.items() if source}
    if not sources:
        raise ValueError("nothing to add: give --posts SOURCE, --labels SOURCE, or both")
    _check_options(target, replace, update, dry_run, sheet)
    if kind and not labels:
        raise ValueError("--kind is what the images of --labels SOURCE come with: give both")
    if posts_kind and not posts:
        raise ValueError("--posts-kind is what the posts of --posts SOURCE are of: give both")
    if dry_run:
        try_import(sources, images, replace, update, Path(sheet or SHEET), kind, posts_kind)
        return pointer.md5() or "unversioned"
    connect()  # a server that is down is told before anything is replaced
    known = _recorded()
    results = import_sources(sources, images, replace, update, kind, posts_kind)
    digest = add_to_dvc()
    if digest != known:  # a watched source is asked every night, and most nights have nothing new
        log_import(results, digest)
        intact.write_note(recorded=digest)
    _print_import(results, target if labels else None)
    print(f"data version {digest}: commit data.dvc, then `make repro`")
    return digest


def _check_options(
    target: str, replace: bool, update: bool, dry_run: bool, sheet: str | None
) -> None:
    if sheet and not dry_run:
        raise ValueError("--sheet is the page of a dry run: give --dry-run too, or leave it out")
    if replace and update:
        raise ValueError("--replace drops what is there, --update corrects it: give one of them")
    # it becomes a folder of data/: `..` or nothing at all, as of an unset variable of a shell,
    # would be another one
    checked_name(target, "--target")


def _print_import(results: dict[str, Any], target: str | None) -> None:
    """What became of the rows, and what a run would say of the labelled set that was imported."""
    from flows.cli.validate_labels import label_problems

    for name, result in results.items():
        print("\n".join(import_lines(name, result)))
    if QUARANTINE.exists():
        print(f"all that was refused, with the reasons: {QUARANTINE}")
    if target:
        print(f"to use this set: a task with `data: targets/{target}` in params.yaml")
    for line in label_problems(target):
        print(f"before a run: {printable(line)}")


@task
def log_import(results: dict[str, Any], digest: str) -> None:
    """The import as a run in MLflow, with the list of what was refused."""
    from flows.tracking.tracking import single_run

    with single_run("version add", ", ".join(results), {"data": digest}) as run:
        for name, result in results.items():
            refused = sum(result["refused"].values())
            counts = {"added": result["kept"], "already": result["already"], "refused": refused}
            counts |= {"changed": result["changed"]} if result["changed"] else {}
            store = name.replace("/", "_")
            run.metrics({f"{store}_{what}": count for what, count in counts.items()})
        if QUARANTINE.exists():
            run.files(QUARANTINE)


def verify_data() -> None:
    """Hash all data, shards and square images anew.

    ValueError lists each file that is not what was written.
    """
    with progress("verify") as show:
        count = intact.verify_files(show)
    print(f"{count} files are what was written")


SOURCES = """what a SOURCE may be, here or (tables, tars) under s3://:
  a table         CSV, TSV, JSONL (also .gz) or Parquet, a row per image; or a folder of such parts.
                  posts: columns image, hashtags and, where known, id, user, time
                  labels: columns image, label and, where known, id, split (train, val, test)
                  tags (--kind tags): columns image and tags, a list or text with ; or | between
                  (a|b), or several rows of one image; or image and a column per class of 1 and 0
                  image names a file beside the table or below --images; Parquet as Hugging Face
                  writes it may hold the images themselves
  tars            as img2dataset and webdataset write them: a tar, a folder of them,
                  shards/{00000..00009}.tar, "shards/*.tar"
  annotations     of objects (--kind boxes), images below --images:
                  COCO's or LVIS's JSON, or a folder with annotations/instances_train.json and so
                  on: polygons, run lengths, crowds, keypoints; the split is what the name says
                  Pascal VOC's folder: Annotations/*.xml, JPEGImages/, ImageSets/Main/train.txt
                  YOLO's folder: images/, labels/, data.yaml or classes.txt
                  CVAT's XML ("CVAT for images 1.1"), or a folder with it and images/
                  Cityscapes' folder: leftImg8bit/, gtFine/, also of segments (--kind panoptic)
                  of segments (--kind panoptic): COCO's panoptic_val.json, its PNGs in panoptic_val/
                  beside it. docs/annotations.md says what of them is kept, and what is refused
  videos          (--kind clips; posts: --posts-kind video_posts): mp4, mov, avi, mkv, webm, GIF,
                  flv, wmv, mpg, ts and ogv in tables (the column may be called video or clip), tars
                  and class folders. A folder of frames is a video too: one that a table names, or
                  one below the folder of a class that holds images and no video; the frames are its
                  images in the order of their names (2 before 10), 30 a second, or as many as the
                  column fps of the table says
  class folders   for labels: a folder with a folder of images per class, or with train/, val/ and
                  test/ and the classes in these; for posts only in studies (a model of how people
                  tag makes posts of them). An image's id is its place there: one that was moved to
                  another class is a new image, so correct such a set with --replace. For tags the
                  same image lies in the folder of each of its classes

--kind is remembered with the set, and --posts-kind with the posts. An image with an empty list of
tags ([], or 0 in all columns) is a negative for all classes; one with an empty cell is refused,
since nothing is said of it. An image without an object is kept. An object that cannot be used is a
refused row, and its image stays.

A labelled set without a val or test split gets one: a part of its train images, chosen by their ids
(corpus.val_share, corpus.test_share in params.yaml). Labels are kept as typed, blanks, Unicode
forms and 3.0 (which is 3) apart. What cannot be used is left out, counted by reason and listed in
data/quarantine.jsonl. All sources are read and checked before any of data/ changes."""


def main() -> None:
    """Command line: `add` one's own data, `restore` what data.dvc names, `verify` all of it."""
    # without the order of reading, which is for people with the code before them
    parser = argparse.ArgumentParser(
        prog=program("version"), description=__doc__.partition("\n\nRead")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_options(
        commands.add_parser(
            "add",
            help="add one's own posts and labels to data/ and version them",
            description="Add one's own posts and labels to data/ and version them.",
            epilog=SOURCES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    draws = "pull what data.dvc names, or draw the sample when there is no remote"
    commands.add_parser("restore", help=draws)
    hashes = "hash every file of data/ and out/corpus: is it what was written?"
    commands.add_parser("verify", help=hashes)
    others = "write boxes or panoptic maps as COCO, Pascal VOC, YOLO or COCO panoptic"
    exporting.add_options(commands.add_parser("export", help=others, description=others))
    options = vars(parser.parse_args())
    jobs = {"add": version, "restore": restore_data, "verify": verify_data}
    jobs["export"] = exporting.export
    with user_errors():
        jobs[options.pop("command")](**options)


def _add_options(add: argparse.ArgumentParser) -> None:
    add.add_argument(
        "--posts", metavar="SOURCE", help="images or videos with hashtags, to pretrain on"
    )
    labels = "images or videos with labels, to fine-tune and test on"
    add.add_argument("--labels", metavar="SOURCE", help=labels)
    images = "folder or s3:// prefix that a table's names are relative to (default: the table's)"
    add.add_argument("--images", metavar="FOLDER", help=images)
    target = "name of the labelled set (params.yaml: tasks with `data: targets/NAME`)"
    add.add_argument("--target", default="target", help=target)
    kind = "what its images come with: labels (default), tags (several classes, or none), or "
    kind += "another of corpus/kinds; given once, with the first import of the set"
    add.add_argument("--kind", metavar="NAME", help=kind)
    kind = "posts (default, of images) or video_posts; given once, with the first import of posts"
    add.add_argument("--posts-kind", metavar="NAME", help=kind)
    there = "put them in place of what data/ has, instead of adding"
    add.add_argument("--replace", action="store_true", help=there)
    corrected = "rows whose id is there already replace what is there, where label, split, "
    corrected += "hashtags, user, time or image differ; reads all images of the source. Without it "
    corrected += "such rows are told"
    add.add_argument("--update", action="store_true", help=corrected)
    dry = "say what would be added, changed and refused, and why; change nothing"
    add.add_argument("--dry-run", action="store_true", help=dry)
    sheet = f"with --dry-run: the page of sample pictures and refused rows (default: {SHEET})"
    add.add_argument("--sheet", metavar="FILE", help=sheet)


if __name__ == "__main__":
    main()
