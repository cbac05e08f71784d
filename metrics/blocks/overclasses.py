"""Metrics of several true classes per sample whose headline is a mean over the classes."""

import numpy as np
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import bootstrap, percentiles
from metrics.blocks.seen import Seen


class OverClasses:
    """What they share; one adds `update`, `merge`, `compute` and `_mean`.

    It keeps (given (n, classes), true bool (n, classes)) in `_seen`. A class without a true sample
    is left out of the mean, and counted.
    """

    headline: str

    def __init__(self, resamples: int) -> None:
        """resamples: of the bootstrap over samples that gives the interval; 0: no interval."""
        self.resamples = resamples
        self._seen = Seen()

    def each(self) -> None:
        """None: the mean is one over classes."""

    def resampled(self) -> Tensor | None:
        """Each is the mean over those classes that the resample has true samples of."""
        if not self.resamples:
            return None
        return bootstrap(len(self._known()[1]), self.resamples, self._mean)

    def _known(self) -> tuple[Tensor, Tensor]:
        """What was kept of the samples that count; ValueError where no class has a true one."""
        given, true = self._seen.counted()
        if not true.any():
            raise ValueError(
                f"none of {true.shape[1]} classes is true of any of {len(true)} samples: "
                "give targets of which some are above 0"
            )
        return given, true

    def _headline(self) -> dict[str, float]:
        """The headline, and the ends of its interval where there is one."""
        count = len(self._known()[1])
        numbers = {self.headline: float(self._mean(np.ones((count, 1)))[0])}
        found = self.resampled()
        return numbers if found is None else numbers | percentiles(self.headline, found)

    def _counts(self) -> dict[str, int]:
        """ "samples", "classes" that count and "absent", those that do not."""
        true = self._known()[1]
        present = int(true.any(0).sum())
        return {"samples": len(true), "classes": present, "absent": true.shape[1] - present}

    def _mean(self, weights: ndarray) -> ndarray:
        """In percent, (m,): of the samples with weights (n, m)."""
        raise NotImplementedError
