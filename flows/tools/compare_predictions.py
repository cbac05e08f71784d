"""Two files of predictions on one truth: which is better, by how much, and on which images.

The difference has a paired 95 % interval: both are measured on the same samples, so that what makes
a sample hard for both does not widen it. The page shows the samples on which they differ most, with
the truth and both answers drawn on the images.

    python -m flows.compare_predictions a.json b.json instances.json --metric coco_ap --images val
    python -m flows.compare_predictions a.txt b.txt truth.txt --metric wer
    python -m flows.compare_predictions a.json b.json instances.json \\
        --metric "{name: coco_ap, of: masks}"

Read flows/tools/predictioncomparison.py next; flows/reports/predictions makes the page.
"""

from collections.abc import Sequence
from pathlib import Path

from flows.cli.command import parser, user_errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    command = parser("compare_predictions", __doc__)
    command.add_argument("first", type=Path, metavar="A", help="predictions, in the metric's files")
    command.add_argument("second", type=Path, metavar="B", help="other predictions of the same")
    command.add_argument("truth", type=Path, metavar="TRUTH", help="what is true of them")
    metric = "a metric's name, or a section of it as params.yaml has them"
    command.add_argument("--metric", required=True, help=metric)
    images = "folder of the images, to draw the answers on"
    command.add_argument("--images", type=Path, metavar="FOLDER", help=images)
    page = "the page (default: compare_predictions.html); numbers go beside it, as .json"
    out = Path("compare_predictions.html")
    command.add_argument("--out", type=Path, default=out, metavar="FILE", help=page)
    shown = "samples on the page, those that differ most (default: 12; 0: none are looked for)"
    command.add_argument("--shown", type=int, default=12, metavar="N", help=shown)
    command.add_argument("--names", metavar="A,B", help="what to call the two; else their files")
    common = "count the samples that all files have, and no others"
    command.add_argument("--common", action="store_true", help=common)
    given = command.parse_args(arguments)
    with user_errors():
        from flows.tools.predictioncomparison import compare_files

        names = given.names.split(",") if given.names else None
        files = given.first, given.second, given.truth
        compare_files(
            files, given.metric, given.common, names, given.images, given.shown, given.out
        )


if __name__ == "__main__":
    main()
