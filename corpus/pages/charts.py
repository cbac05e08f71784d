"""Charts as data, and drawn as inline SVG: text stays text, colours follow the page's style
sheet.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from corpus.pages.markup import Markup, el

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 10, 46  # margins, for labels
COLOURS = 5  # of the style sheet, which further series share


@dataclass(frozen=True)
class Series:
    """Points (n,), (n,) as "dots", "line", "dash" (a fit) or "bars" (one wide each)."""

    label: str
    x: np.ndarray
    y: np.ndarray
    style: str = "line"


@dataclass(frozen=True)
class Chart:
    """Series over two axes, both logarithmic if `log`, else from zero.

    The caption says what to read from it.
    """

    name: str  # of its PNG
    xlabel: str
    ylabel: str
    series: list[Series]
    caption: str
    log: bool = True


class Axis:
    """From values to pixels: `low` and `high` are drawn at `start` and `end`."""

    def __init__(self, values: np.ndarray, start: float, end: float, log: bool, half: float = 0):
        self.start, self.end, self.log = start, end, log
        values = values[values > 0] if log else np.append(values, 0)
        values = values if len(values) else np.ones(1)
        self.low, self.high = (float(values.min()) - half, float(values.max()) + half)
        if log:
            room = 1.15 if self.high > 2 * self.low else 1.6  # 1, 2 or 5 is within a factor of 2.5
            self.low, self.high = self.low / room, self.high * room
        elif self.high <= 0:
            self.high = 1.0

    def __call__(self, value: np.ndarray) -> np.ndarray:
        low, high, value = (
            np.log(v) if self.log else np.asarray(v, float) for v in (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 6) -> list[float]:
        """Round values within the axis."""
        if self.log:
            powers = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)
            digits = (1,) if np.log10(self.high / self.low) > 2 else (1, 2, 5)
            found = [d * 10.0**p for p in powers for d in digits]
        else:
            raw = max(self.high / count, 1)  # all that is counted is whole
            base = 10.0 ** np.floor(np.log10(raw))
            step = next(m * base for m in (1, 2, 5, 10) if m * base >= raw)
            found = [i * step for i in range(int(self.high / step) + 1)]
        return [value for value in found if self.low <= value <= self.high]


def brief(value: float) -> str:
    """1, 20, 5k, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.10g}{letter}"
    return f"{value:.10g}"


class Plot(NamedTuple):
    """Where a plot lies in its picture: sides and margins in pixels.

    drop: from the x axis down to its numbers.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    drop: int


def frame(
    plot: Plot,
    labels: tuple[str, str],
    x: Callable[[float], float],
    y: Callable[[float], float],
    ticks: tuple[Iterable[float], Iterable[float]],
) -> list[Markup]:
    """Grid, axes and what stands beside them; labels and ticks: of x, then of y."""
    floor, end, parts = plot.height - plot.bottom, plot.width - plot.right, []
    for value in ticks[1]:
        at = f"{float(y(value)):.1f}"
        parts.append(el("line", x1=plot.left, x2=end, y1=at, y2=at, class_="grid"))
        parts.append(el("text", brief(value), x=plot.left - 6, y=at, dy=".35em", text_anchor="end"))
    for value in ticks[0]:
        at = f"{float(x(value)):.1f}"
        parts.append(el("line", x1=at, x2=at, y1=floor, y2=floor + 4, class_="axis"))
        parts.append(el("text", brief(value), x=at, y=floor + plot.drop, text_anchor="middle"))
    parts.append(el("line", x1=plot.left, x2=end, y1=floor, y2=floor, class_="axis"))
    middle, centre = (plot.top + floor) / 2, (plot.left + end) / 2
    parts.append(el("text", labels[0], x=centre, y=plot.height - 8, text_anchor="middle"))
    turned = f"rotate(-90 14 {middle})"
    parts.append(el("text", labels[1], x=14, y=middle, text_anchor="middle", transform=turned))
    return parts


def _draw(series: Series, number: int, x: Axis, y: Axis) -> Markup:
    number %= COLOURS
    shown = (np.asarray(series.y) > 0) | (not y.log)
    px, py = x(np.asarray(series.x)[shown]), y(np.asarray(series.y)[shown])
    if series.style == "bars":
        wide, floor = 0.84 * abs(float(x(1) - x(0))), HEIGHT - BOTTOM
        bars = [
            f"M{a - wide / 2:.1f} {floor}V{b:.1f}h{wide:.1f}V{floor}z"
            for a, b in zip(px, py, strict=True)
        ]
        return el("path", d="".join(bars), class_=f"bars s{number}")
    if series.style == "dots":
        dots = [f"M{a:.1f} {b:.1f}h0" for a, b in zip(px, py, strict=True)]
        return el("path", d="".join(dots), class_=f"dots s{number}")
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
    return el("polyline", points=points, class_=f"{series.style} s{number}")


def axes(chart: Chart) -> tuple[Axis, Axis]:
    """The axes that hold all series."""
    bars = any(series.style == "bars" for series in chart.series)
    xs = np.concatenate([np.asarray(series.x, float) for series in chart.series])
    ys = np.concatenate([np.asarray(series.y, float) for series in chart.series])
    x = Axis(xs, LEFT, WIDTH - RIGHT, chart.log, half=0.6 if bars else 0)
    y = Axis(ys if chart.log else ys * 1.05, HEIGHT - BOTTOM, TOP, chart.log)
    return x, y


def figure(chart: Chart) -> Markup:
    """A <figure> with legend and caption."""
    x, y = axes(chart)
    drawn = [_draw(series, i, x, y) for i, series in enumerate(chart.series)]
    label = f"{chart.ylabel} over {chart.xlabel}"
    box = f"0 0 {WIDTH} {HEIGHT}"
    plot = Plot(WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, drop=17)
    framed = frame(plot, (chart.xlabel, chart.ylabel), x, y, (x.ticks(10), y.ticks()))
    picture = el("svg", *framed, *drawn, viewBox=box, role="img", aria_label=label)
    keys = [
        el("li", el("i", class_=f"key s{i % COLOURS}"), s.label) for i, s in enumerate(chart.series)
    ]
    legend = el("ul", *keys, class_="legend") if len(keys) > 1 else ""
    return el("figure", legend, picture, el("figcaption", chart.caption))
