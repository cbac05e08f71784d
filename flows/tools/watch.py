"""Import what is new in a folder, tars or s3://, then run the pipeline: once, or on a schedule.

    python -m flows.watch --posts incoming/ --cron "0 3 * * *"
    python -m flows.watch --posts "s3://bucket/posts/*.tar" --labels labels.csv --target mine

A source is what `python -m flows.version add` takes. Posts that are there already are left alone,
so put new ones beside the old ones, or in their place; ones that differ are told, and taken by
`python -m flows.version add --update`. The pipeline runs in any case: so a run
that was killed goes on, and changed params.yaml counts; where nothing changed at all the run ends
as `Unchanged`, after seconds. On a work pool the same is the deployment `watch/tagdag-import`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from flows.cli.command import parser, user_errors
from flows.data.restore import restore_data
from flows.pipeline import closing_summary, only_driver, pipeline
from flows.running.orchestrate import flow, orchestrated, without_heartbeat
from flows.running.schedule import add_options, schedule_of, serve_flow
from flows.version import version


def empty(source: str) -> bool:
    """Whether nothing lies (yet) in a folder, under a pattern or below an s3:// prefix.

    False for a source that is not there at all: the import tells of it.
    """
    from corpus.sources.patterns import VARIES

    fixed = VARIES.split(source)[0]
    if source.startswith("s3://"):
        from corpus.sources.manifests import is_manifest
        from corpus.sources.s3 import keys
        from corpus.sources.tars import is_archive

        one = fixed == source and (is_archive(source) or is_manifest(source))
        return not one and next(keys(fixed), None) is None
    if fixed != source:
        folder, _, pattern = source.rpartition("/")
        # a pattern in the folder's name, and braces, are left to the import
        return not VARIES.search(folder) and "{" not in pattern and _none(folder, pattern)
    return Path(source).is_dir() and _none(source, "*")


def _none(folder: str, pattern: str) -> bool:
    return Path(folder or ".").is_dir() and next(Path(folder or ".").glob(pattern), None) is None


def fresh(
    posts: str | None,
    labels: str | None,
    images: str | None,
    target: str,
    kind: str | None = None,
    posts_kind: str | None = None,
) -> bool:
    """Import what is new into data/; whether anything was, or was newly refused."""
    from flows.tracking.tracking import data_version

    sources = {"posts": posts, "labels": labels}
    if not any(sources.values()):
        raise ValueError("nothing to watch: give --posts SOURCE (posts=...), --labels, or both")
    sources = {name: source for name, source in sources.items() if source and not empty(source)}
    with only_driver():  # data/ must not change under a pipeline that runs
        restore_data(
            cut=True
        )  # in a new clone the data is what data.dvc names, not the new posts alone
        before = data_version()
        if sources:
            of = {"kind": kind} if "labels" in sources else {}
            of |= {"posts_kind": posts_kind} if "posts" in sources else {}
            version(**sources, images=images, target=target, **of)
        return data_version() != before


@flow
def watch(
    posts: str | None = None,
    labels: str | None = None,
    images: str | None = None,
    target: str = "target",
    targets: list[str] | None = None,
    kind: str | None = None,
    posts_kind: str | None = None,
) -> Any:
    """Import new posts and labels, then run the stages that changed (`targets`: these and what they
    need); True if anything changed, and `Unchanged` in Prefect where nothing did. `kind`: of the
    labelled set, `posts_kind`: of the posts, before their first import."""
    new = fresh(posts, labels, images, target, kind, posts_kind)
    ran = pipeline(targets or [])
    print(f"new data: {'yes' if new else 'no'}; stages that ran: {len(ran)}", file=sys.stderr)
    if not new and not ran and orchestrated():
        from prefect.states import Completed

        return Completed(name="Unchanged", message="no new data, no stage to run")
    return new or bool(ran)


def main() -> None:
    """Command line of the import with the pipeline behind it."""
    command = parser("watch", __doc__)
    command.add_argument("targets", nargs="*", help="stages, with what they need (default: all)")
    command.add_argument("--posts", metavar="SOURCE", help="a table, tars, a folder of tars, s3://")
    command.add_argument("--labels", metavar="SOURCE", help="likewise, of labelled images")
    command.add_argument("--images", help="folder or s3:// prefix of a table's images")
    command.add_argument("--target", default="target", help="name of the labelled set")
    command.add_argument("--kind", help="of the labelled set: labels (default), tags, ...")
    command.add_argument("--posts-kind", help="of the posts: posts (default) or video_posts")
    add_options(command)
    options = vars(command.parse_args())
    with user_errors():
        schedule = schedule_of(
            argparse.Namespace(cron=options.pop("cron"), every=options.pop("every"))
        )
        if schedule:
            serve_flow(watch, "watched", schedule, **options)
            return
        with without_heartbeat():
            watch(**options)
        print(closing_summary())


if __name__ == "__main__":
    # from the module by its name: what belongs to __main__ is not what Prefect's processes import
    from flows.tools.watch import main as command

    command()
