"""Figures as PNG files: the same bytes for the same numbers, whatever else draws in this process.

Without pyplot, whose figures and settings belong to the whole process: a report may be drawn beside
a training, or in a thread of Prefect's.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # half a second to import, which --help need not wait for
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
# Matplotlib brings letters of Latin, Greek, Cyrillic, Arabic; others are drawn as boxes, and which
# fonts a machine has must not change the bytes
NO_GLYPH = (r"Glyph .* missing from", r"Matplotlib currently does not support")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, whose parts make room for each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(
    count: int, columns: int = 3, size: tuple[float, float] = (4.2, 3.4)
) -> tuple["Figure", list["Axes"]]:
    """A figure of so many plots, at most `columns` side by side, each of `size` inches."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = new_figure(max(columns, 1.5) * size[0], rows * size[1])
    plots = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    for plot in plots:
        plot.grid(alpha=0.25)
        plot.set_axisbelow(True)
    return figure, plots


def save_png(figure: "Figure", path: Path, dpi: int = DPI) -> None:
    """Write a figure, without the version of the software."""
    with warnings.catch_warnings():
        for message in NO_GLYPH:
            warnings.filterwarnings("ignore", message)
        figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})
