"""A metric's picture as a PNG or SVG file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.blocks.picture import Bars, Lines, Matrix, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".png", ".svg")
BAR, CELL = 0.22, 0.32  # inches of a bar and of a cell
SMALLEST, LARGEST = 2.5, 30.0  # inches of a side


def draw(picture: Picture, file: Path, names: Mapping[int, str]) -> None:
    """Write the file; names: of classes. ValueError for an ending that is not known."""
    # not pyplot, whose figures and settings belong to the whole process
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if file.suffix not in ENDINGS:
        raise ValueError(f"{file}: give a name that ends in {' or '.join(ENDINGS)}")
    figure = Figure(figsize=_size(picture), layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.add_subplot()
    DRAWN[type(picture)](plot, picture, names)
    plot.set_title(picture.title)
    figure.savefig(file, dpi=110)


def _size(picture: Picture) -> tuple[float, float]:
    """Width and height in inches."""
    if isinstance(picture, Lines):
        return 6.0, 4.5
    side = BAR if isinstance(picture, Bars) else CELL
    long = min(LARGEST, max(SMALLEST, 1.2 + side * len(picture.labels)))
    return (6.0, long) if isinstance(picture, Bars) else (long + 1, long)


def _lines(plot: "Axes", picture: Lines, names: Mapping[int, str]) -> None:
    labels = _named([each.name for each in picture.series], names)
    for label, each in zip(labels, picture.series, strict=True):
        plot.plot(each.x, each.y, label=label)
    plot.set(xlabel=picture.x, ylabel=picture.y)
    plot.grid(alpha=0.25)
    if len(picture.series) > 1:
        plot.legend()


def _bars(plot: "Axes", picture: Bars, names: Mapping[int, str]) -> None:
    places = range(len(picture.labels))
    plot.barh(places, picture.values)
    plot.set_yticks(places, _named(picture.labels, names))
    plot.invert_yaxis()
    plot.set(xlabel=picture.x)
    plot.grid(alpha=0.25, axis="x")


def _matrix(plot: "Axes", picture: Matrix, names: Mapping[int, str]) -> None:
    cells = plot.imshow(picture.cells, vmin=0, vmax=100, cmap="Blues")
    plot.figure.colorbar(cells, label="%")
    labels = _named(picture.labels, names)
    plot.set_xticks(range(len(labels)), labels, rotation=90)
    plot.set_yticks(range(len(labels)), labels)
    plot.set(xlabel=picture.x, ylabel=picture.y)


def _named(labels: Sequence[str | int], names: Mapping[int, str]) -> list[str]:
    # a dollar would begin a formula
    return [str(names.get(label, label)).replace("$", r"\$") for label in labels]


DRAWN = {Lines: _lines, Bars: _bars, Matrix: _matrix}
