"""Predictions for any number of images, in constant memory; a killed command goes on.

Read in this order:

- weights.py: which network,
- images.py: which images,
- looking.py: images read, squared and shown to the network, batch by batch,
- kept.py: the rows so far,
- results.py, features.py, suggesting.py: what is written of them in the end.
"""

import itertools
import shutil
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from corpus.names import printable
from corpus.progress import Progress
from corpus.sources.unlabelled import NamedImage
from engine.core.digest import digest
from engine.inference.predictor import Predictor
from engine.inference.predictors import predictor_for
from flows.predicting import drawing, features, results, sceneresults, suggesting
from flows.predicting.images import Images
from flows.predicting.kept import Kept
from flows.predicting.looking import Wanted, kept_schema, look
from flows.predicting.results import Naming
from flows.predicting.weights import Chosen

SHOWN = 20  # bad images that are told; the table has all


class Outputs(NamedTuple):
    """Files to write: the table; features, where wanted; a table of images to label, how many; a
    folder of images on which what was found is drawn.
    """

    table: Path
    features: Path | None
    suggested: Path | None
    count: int
    drawn: Path | None = None


class Account(NamedTuple):
    """How many images there were, the bad ones among them by reason, and the first of these.

    found: lines that tell what was found, where a network finds objects.
    """

    images: int
    bad: Counter[str]
    first: list[tuple[str, str]]
    found: list[str] = []  # noqa: RUF012 - never added to


def predict(
    chosen: Chosen,
    images: Images,
    wanted: Wanted,
    outputs: Outputs,
    batch: int,
    threads: int,
    show: Progress,
) -> Account:
    """Predict all images and write what is asked for; what became of them.

    ValueError with cause and fix where there is no image, or none can be used (the table, which
    has the reasons, is there all the same).
    """
    known = chosen.size, chosen.tested, chosen.frame_rate, chosen.policy
    predictor = predictor_for(chosen.weights, *known)
    images.naming = images.naming._replace(media=predictor.media)
    if not (predictor.predicts or wanted.features):
        raise ValueError(
            f"{chosen.title} was trained on a pretext task and predicts no names: take a network "
            "pretrained on hashtags or a fine-tuned one, or ask for features alone (--embed)"
        )
    _refuse_outputs(predictor, outputs)
    about = {"weights": digest(chosen.weights), "sizes": [predictor.size, predictor.tested]}
    if chosen.frame_rate:
        about |= {"frame_rate": chosen.frame_rate, "policy": chosen.policy}
    if predictor.finds:
        about |= {"policy": chosen.policy}
    about |= {"images": images.names, "wanted": wanted}
    file = outputs.table.with_name(f".{outputs.table.name}.kept")
    with Kept(file, kept_schema(predictor, wanted), about) as kept:
        images.count()
        done, rest = _compared(kept, iter(images))
        if done:
            told = f"{done:,} {predictor.media}s are predicted already"
            print(f"{told}: it goes on there", file=sys.stderr)
        for found in look(predictor, rest, wanted, batch, threads):
            kept.append(found)
            done += len(found)
            show(done, images.total, "")
        account = _write(kept, predictor, images, outputs, done)
        kept.remove()
    shutil.rmtree(images.naming.spool, ignore_errors=True)
    if not account.images:
        what, named = predictor.media, ", ".join(images.names)[:200]
        raise ValueError(f"there is no {what} in {named}: name others")
    return account


def _refuse_outputs(predictor: Predictor, outputs: Outputs) -> None:
    """ValueError for a file that is not made of what this network tells."""
    if not predictor.finds:
        results.format_of(outputs.table)
        if outputs.drawn:
            raise ValueError("--draw: this network names classes of whole images: leave it out")
        return
    results.format_of(outputs.table, sceneresults.FORMATS)
    if outputs.suggested:
        raise ValueError(
            "--suggest goes by the two best names of an image, and this network finds objects: "
            "leave it out"
        )
    if "semantic" in predictor.module.head.gives:
        sceneresults.check_free(outputs.table)


def _compared(kept: Kept, images: Iterator[NamedImage]) -> tuple[int, Iterator[NamedImage]]:
    """How many images have their row already, and those that follow.

    Where another image stands than at the time, all rows from there on are dropped.
    """
    done = 0
    for batch, place in kept.batches():
        some = list(itertools.islice(images, len(batch)))
        if [each.name for each in some] != batch["image"].to_pylist():
            kept.forget_from(place)
            return done, itertools.chain(some, images)
        done += len(batch)
    return done, images


def _write(
    kept: Kept, predictor: Predictor, images: Images, outputs: Outputs, total: int
) -> Account:
    account = Account(total, Counter(), [])
    if not total:
        return account

    def rows() -> Iterator:
        return (batch for batch, _ in kept.batches())

    if outputs.features:
        sides = total, predictor.width
        features.write_features(outputs.features, rows(), *sides, predictor.media)
    if outputs.suggested:
        found = suggesting.suggest(rows(), predictor.names, outputs.count)
        suggesting.write_suggestions(outputs.suggested, found, images, predictor.media)
    if outputs.drawn:
        drawing.draw_images(outputs.drawn, rows(), images, predictor.names)
    # last: the table says that the rest is whole
    if predictor.finds:
        deque(_noted(rows(), account), maxlen=0)
        sceneresults.write_results(outputs.table, rows, predictor.names)
        return account._replace(found=sceneresults.table_lines(rows(), predictor.names))
    noted = _noted(rows(), account)
    naming = Naming(predictor.names, predictor.several, predictor.media)
    results.write_table(outputs.table, noted, naming)
    return account


def _noted(batches: Iterator, account: Account) -> Iterator:
    """The same batches; the bad images that pass go into the account."""
    for batch in batches:
        if batch["error"].null_count < len(batch):
            pairs = zip(batch["image"].to_pylist(), batch["error"].to_pylist(), strict=True)
            faults = [(name, reason) for name, reason in pairs if reason]
            account.bad.update(reason.partition(":")[0] for _, reason in faults)
            account.first.extend(faults[: SHOWN - len(account.first)])
        yield batch


def tell(account: Account, outputs: Outputs, left: Counter[str], media: str = "image") -> None:
    """Print what became of the images, or videos; ValueError where none could be used."""
    count = account.bad.total()
    for name, reason in account.first:
        print(f"bad: {printable(name)}: {printable(reason)}", file=sys.stderr)
    if count > len(account.first):
        more = count - len(account.first)
        print(f"bad: {more:,} more: column error of {outputs.table}", file=sys.stderr)
    alone = ", ".join(f"{number:,} {kind}" for kind, number in left.items())
    if alone:
        print(f"left alone: {alone}", file=sys.stderr)
    kinds = ", ".join(f"{number:,} {printable(kind)}" for kind, number in account.bad.items())
    told = f"{account.images:,} {media}s, {count:,} bad{f' ({kinds})' if kinds else ''}"
    if count == account.images:
        raise ValueError(f"none of the {told} can be used: {outputs.table} has the reasons")
    for line in account.found:
        print(line)
    written = outputs.table, outputs.features, outputs.suggested, outputs.drawn
    files = [str(file) for file in written if file]
    print(f"{told}: {', '.join(files)}")
