"""What a metric is: the class of one file of metrics/, known by the file's name.

`engine.core.build.build("metrics", {"name": "accuracy", "topk": [1]})` makes one of a section of
params.yaml, whose keys are the class's parameters; `python -m metrics.accuracy PREDICTIONS TARGETS`
computes it from two files. No class need inherit from `Metric`: tests/metrics/test_contract.py
holds every file of the folder to it.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self

from torch import Tensor

# a row per sample; a list where rows differ in size
Batch = Mapping[str, Tensor | list]
Names = tuple[str | tuple[str, ...], ...]


class Reads(NamedTuple):
    """The columns that a metric reads; of a tuple of names the first that there is.

    more: of the targets, where they are there.
    """

    predictions: Names
    targets: Names
    more: tuple[str, ...] = ()


class Metric(Protocol):
    """A number by which models are compared, of samples that come in parts.

    headline: key in `compute()` of that number. higher: whether more of it is better. unit: of the
    headline, of its interval and of `each()`, as "%".

    reads: the columns, as `Reads(("scores",), (("label", "hashtags", "tags"),))`. A boolean column
    `<name>_known` (n,) of the targets tells of which samples the target is known; the others are
    not counted.

    A metric may have more. `rows() -> list[dict[str, float]]` tells details, as a row per class.
    `resampled() -> Tensor | None`, float64 (resamples,), is the headline of resamples of the
    samples, moved so that their mean is the headline itself; None where there are to be none. Of
    as many samples the resamples are the same: differences of two models are those of pairs.
    `picture() -> Picture` is what people look at (metrics/blocks/picture.py). `files: str` is the
    module of metrics/formats that reads its two files; without it they are tables.
    """

    headline: str
    higher: bool
    unit: str
    reads: Reads

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in n samples. ValueError where a column is missing, or its shape does not fit.

        What is kept stays on its device, so that an update never waits for it.
        """

    def merge(self, other: Self) -> None:
        """Add the samples that another one has seen, after the own ones.

        The whole is the same as that of one metric that has seen all.
        """

    def compute(self) -> dict[str, float]:
        """Numbers by name: the headline, the ends `<headline>_low` and `<headline>_high` of its
        95 % interval, "samples" (those that count), and whatever else is worth a look.

        The interval covers what other samples of the same kind could give, for the same weights: of
        other seeds it knows nothing. ValueError where there is no sample, or a score is NaN.
        """

    def each(self) -> Tensor | None:
        """The headline of every sample that was seen, float64 (n,), in order: their mean is the
        headline. None where the headline is no mean over samples. ValueError as `compute`.

        NaN for a sample whose target is not known.
        """
