"""Classes of images, or hashtags: `python -m flows.predict photos/ --out predictions.csv`.

A row per image: class, score and the best few of a fine-tuned network; hashtags of a pretrained
one. A bad image has its reason. A command that was cut short goes on where it was. A network of
clips is given videos, mp4, avi, mkv, webm, GIF and others, in the place of images, and is asked of
as many clips and crops of each as it was tested on.

A network that finds objects, or the class of each pixel, gives COCO's JSON: boxes in px of the
image, classes, scores, masks; maps as PNGs in a folder of its name. --draw shows them.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from flows.cli.command import parser, user_errors

IMAGES = """images: files, folders (all below), "patterns*", tars, s3:// objects or prefixes, tables
with a column of names; - for names on standard input, one a line"""


def _asked() -> argparse.Namespace:
    command = parser("predict", __doc__)
    command.add_argument("images", nargs="+", metavar="IMAGES", help=IMAGES)
    model = "models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN, a .safetensors file or its folder"
    model += ", such as out/pretrain/winner-hashtags (default: the champion of register.name)"
    command.add_argument("--model", help=model)
    out = "the table: .csv, .jsonl or .parquet (default: predictions.csv); of objects .json"
    command.add_argument("--out", type=Path, help=out)
    top = "names of each image (default: 5)"
    command.add_argument("--top", type=int, default=5, help=top)
    low = "leave out names, or objects, of a lower score, from 0 to 1 (default: of objects 0.5)"
    command.add_argument("--threshold", type=float, help=low)
    draw = "of objects: write images with what was found drawn on them"
    command.add_argument("--draw", type=Path, metavar="FOLDER", help=draw)
    column = "of tables: the column of names, or of images (default: image)"
    command.add_argument("--column", default="image", help=column)
    folder = "of tables: folder or s3:// prefix that names are relative to (default: the table's)"
    command.add_argument("--images", dest="folder", metavar="FOLDER", help=folder)
    embed = "write features, too: .parquet, or .npy with a row per image"
    command.add_argument("--embed", type=Path, metavar="FILE", help=embed)
    suggest = "name the N images most worth labelling: the network in doubt, no two alike"
    command.add_argument("--suggest", type=int, metavar="N", default=0, help=suggest)
    table = "their table, for `python -m flows.version add --labels` (default: suggested.csv)"
    command.add_argument("--suggest-out", type=Path, default=Path("suggested.csv"), help=table)
    size = "pixels of the squares that the network was trained on, where it does not say"
    command.add_argument("--size", type=int, help=size)
    batch = "images that the network is given at a time; fewer when memory runs out (default: 512)"
    command.add_argument("--batch", type=int, help=batch)
    views = "of videos: how many clips of how many crops each (default: as it was tested)"
    command.add_argument("--views", metavar="CLIPSxCROPS", type=_views, help=views)
    rate = "of videos: frames a second that it was trained on, where it does not say"
    command.add_argument("--frame-rate", type=int, metavar="N", help=rate)
    threads = "threads that read and decode (default: one a core)"
    command.add_argument("--threads", type=int, help=threads)
    return command.parse_args()


def _views(text: str) -> dict[str, Any]:
    """The section of a policy; argparse tells of any other text."""
    clips, crops = map(int, text.split("x"))
    return {"name": "views", "clips": clips, "crops": crops}


def _checked(given: argparse.Namespace) -> None:
    """ValueError for a number out of its range, or a file whose ending names no format."""
    from flows.predicting import features, results, sceneresults

    for name in ("top", "size", "batch", "threads", "frame_rate"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} {value}: give 1 or more")
    if given.threshold is not None and not 0 <= given.threshold <= 1:
        raise ValueError(f"--threshold {given.threshold}: give a number from 0 to 1")
    if given.suggest < 0:
        raise ValueError(f"--suggest {given.suggest}: give 1 or more")
    if given.suggest:
        results.format_of(given.suggest_out, (".csv",))
    if given.out:
        results.format_of(given.out, (*results.FORMATS, *sceneresults.FORMATS))
    if given.embed:
        results.format_of(given.embed, features.FORMATS)


def _run(given: argparse.Namespace) -> None:
    from corpus.sources.unlabelled import Naming
    from engine.core.allocator import keep_freed_memory
    from engine.core.cores import cores
    from engine.training.predicting import BATCH
    from flows.predicting import images, predict
    from flows.predicting.looking import Wanted
    from flows.predicting.weights import chosen_weights
    from flows.running.orchestrate import progress

    keep_freed_memory()
    wanted = Wanted(given.top, given.threshold, bool(given.embed or given.suggest))
    suggested = given.suggest_out if given.suggest else None
    with tempfile.TemporaryDirectory() as folder, progress("predict") as show:
        chosen = chosen_weights(given.model, given.size, Path(folder))
        out = given.out or Path("predictions.json" if chosen.finds else "predictions.csv")
        outputs = predict.Outputs(out, given.embed, suggested, given.suggest, given.draw)
        naming = Naming(given.column, given.folder, images.spool_of(out))
        found = images.Images(given.images, naming, sys.stdin.buffer)
        said = {"policy": given.views, "frame_rate": given.frame_rate}
        chosen = chosen._replace(**{key: own for key, own in said.items() if own is not None})
        sides = given.batch or BATCH, given.threads or cores()
        account = predict.predict(chosen, found, wanted, outputs, *sides, show)
    predict.tell(account, outputs, found.left, found.naming.media)


def main() -> None:
    """Command line."""
    given = _asked()
    with user_errors():
        _checked(given)
        _run(given)


if __name__ == "__main__":
    main()
