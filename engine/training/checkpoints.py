"""The states of a training on disk: written whole by a thread while training goes on, checked
when read.
"""

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
    """The last `keep` states in a folder, one file each, named by their iteration.

    Without a folder nothing is kept.
    """

    def __init__(self, folder: Path | None, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        self._writer, self._last = ThreadPoolExecutor(1), Future()
        self._last.set_result(None)

    def newest(self, workers: Workers = ALONE) -> Kept | None:
        """The latest state that is whole, the same for all workers.

        A damaged one is told of and put aside.
        """
        self.wait()
        kept = self._newest() if workers.first else None
        iteration = workers.of_first(kept and kept[1]["iteration"])
        return (
            kept
            if iteration is None or workers.first
            else checkpoint.load_tensors(self._file(iteration))
        )

    def _newest(self) -> Kept | None:
        for file in sorted(self.folder.glob("*.safetensors"), reverse=True) if self.folder else ():
            try:
                return checkpoint.load_tensors(file)
            except ValueError as error:
                log.warning("%s; going on from the state before", error)
                file.rename(file.with_suffix(".damaged"))
        return None

    def _file(self, iteration: int) -> Path:
        return self.folder / f"{iteration:09d}.safetensors"

    def busy(self) -> bool:
        """Whether the last state is still being written."""
        return not self._last.done()

    def save(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Write a state in the background.

        OSError of the state before, if that could not be written.
        """
        self.wait()
        self._last = self._writer.submit(self._write, tensors, about)

    def _write(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        checkpoint.save_tensors(self._file(about["iteration"]), tensors, about)
        for old in sorted(self.folder.glob("*.safetensors"))[: -self.keep]:
            old.unlink(missing_ok=True)

    def wait(self) -> None:
        """Until the last state is on disk."""
        self._last.result()

    def close(self) -> None:
        """Wait for the last state, and end the thread."""
        self._writer.shutdown()
        self.wait()


def warn_of_other_workers(about: dict[str, Any], workers: Workers, recipe: Recipe) -> None:
    """Say what a run on another number of workers does otherwise than the one that kept the
    state.
    """
    if about["world"] != workers.world:
        n = [
            min(about["batch"] // world, recipe.micro or about["batch"])
            for world in (about["world"], workers.world)
        ]
        norm = (
            f"batch norm sees {n[1]} images at a time instead of {n[0]}"
            if n[0] != n[1]
            else "batch norm sees as many"
        )
        log.warning(
            "going on with %d workers from a state of %d: the images of each step and their crops stay the same; "
            "%s, and sums are rounded in another order",
            *(workers.world, about["world"], norm),
        )
