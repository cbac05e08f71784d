"""The checkpoints of a training: written by a thread meanwhile, whole, and checked when read."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.core import checkpoint
from engine.training.distributed import ALONE, Workers
from engine.training.recipe import Recipe

log = logging.getLogger("tagdag")
Kept = tuple[dict[str, Tensor], dict[str, Any]]  # tensors, and what they are


class Checkpoints:
    """The last `keep` checkpoints in a folder, one file each, named by their iteration.

    Without a folder nothing is kept.
    """

    def __init__(self, folder: Path | None, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        # one thread: checkpoints are written in their order
        self._writer, self._last = ThreadPoolExecutor(1), Future()
        self._last.set_result(None)

    def newest(self, workers: Workers = ALONE) -> Kept | None:
        """The latest one that is whole, the same for all workers.

        A damaged one is told of and put aside.
        """
        self.wait()
        # one worker decides: several that put a damaged file aside would be in each other's way
        kept = self._newest() if workers.first else None
        iteration = workers.broadcast(kept[1]["iteration"] if kept else None)
        if workers.first or iteration is None:
            return kept
        return checkpoint.load_tensors(self._file(iteration))

    def _newest(self) -> Kept | None:
        if self.folder is None:
            return None
        for file in sorted(self.folder.glob("*.safetensors"), reverse=True):
            try:
                return checkpoint.load_tensors(file)
            except ValueError as error:
                log.warning("%s; going on from the state before", error)
                # then it no longer matches: it is not tried again, nor one of those that are kept
                file.rename(file.with_suffix(".damaged"))
        return None

    def _file(self, iteration: int) -> Path:
        # with zeros in front, so that the order of names is that of iterations
        return self.folder / f"{iteration:09d}.safetensors"

    def busy(self) -> bool:
        """Whether the last one is still being written."""
        return not self._last.done()

    def save(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Write one in the background.

        OSError of the one before, if that could not be written.
        """
        # so that at most one copy of the state waits in memory
        self.wait()
        self._last = self._writer.submit(self._write, tensors, about)

    def _write(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        checkpoint.save_tensors(self._file(about["iteration"]), tensors, about)
        # only now: a kill while this one is written leaves all of those before
        for old in sorted(self.folder.glob("*.safetensors"))[: -self.keep]:
            old.unlink(missing_ok=True)

    def wait(self) -> None:
        """Until the last one is on disk."""
        self._last.result()

    def close(self) -> None:
        """Wait for the last one, and end the thread."""
        # which waits too, but says nothing of an error
        self._writer.shutdown()
        self.wait()


def warn_of_other_workers(about: dict[str, Any], workers: Workers, recipe: Recipe) -> None:
    """Say what is different with another number of workers than those of the checkpoint."""
    if about["world"] == workers.world:
        return
    batch = about["batch"]
    before, now = (
        min(batch // world, recipe.micro or batch) for world in (about["world"], workers.world)
    )
    norm = "batch norm sees as many"
    if before != now and recipe.batch_norm != "frozen":
        norm = f"batch norm sees {now} images at a time instead of {before}"
    log.warning(
        "going on with %d workers from a state of %d: the images of each step and their crops "
        "stay the same; %s, and sums are rounded in another order",
        *(workers.world, about["world"], norm),
    )
