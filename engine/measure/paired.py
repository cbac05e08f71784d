"""Whether two networks differ on the same test images: McNemar's test, exact.

McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
percentages", Psychometrika 12; Dietterich 1998, "Approximate statistical tests for comparing
supervised classification learning algorithms", Neural Computation 10(7), section 3.1: of the tests
that need one training each the one that finds differences where there are none no more often than
it says. It is about these two networks, not about other seeds of their trainings.
"""

from typing import NamedTuple

import numpy as np


class Paired(NamedTuple):
    """Numbers of test images that both, only one, or neither classified rightly.

    p: probability of a difference at least as large between only_first and only_second if both
    networks erred equally often (two-sided; binomial, not its approximation by chi-square).
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> Paired:
    """The test of what was right, bool (images,) each. ValueError for different numbers of them."""
    from scipy.stats import binomtest

    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} answers: they are not to the same images")
    one, other = int((first & ~second).sum()), int((~first & second).sum())
    # without an image that they disagree about there is nothing that speaks for a difference
    p = float(binomtest(one, one + other).pvalue) if one + other else 1.0
    return Paired(int((first & second).sum()), one, other, int((~first & ~second).sum()), p)
