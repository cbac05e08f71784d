"""A number against a cost as SVG: a point with its interval per model, and the front of them."""

from collections.abc import Sequence
from typing import NamedTuple

from corpus.pages.charts import COLOURS, Plot, frame
from corpus.pages.markup import Markup, el

WIDTH, HEIGHT = 520, 340
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 12, 48  # margins, for labels
SIZE = 6.0  # half of a mark
STEPS = (1, 2, 2.5, 5, 10)


class Point(NamedTuple):
    """A model at a cost with its headline; `hollow`: not pretrained.

    shape: circle, square or triangle. loud: the cost was measured while others worked.
    """

    name: str
    cost: float
    value: float
    low: float
    high: float
    colour: int
    shape: str = "circle"
    hollow: bool = False
    loud: bool = False


class Scale:
    """From values between low and high to pixels between start and end, linear."""

    def __init__(self, low: float, high: float, start: float, end: float):
        room = 0.05 * (high - low) or 1.0
        # of numbers that are never negative the axis is not either
        self.low, self.high = max(min(0.0, low), low - room), high + room
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within, about so many."""
        raw = (self.high - self.low) / count
        power = 10.0 ** len(str(int(raw))) / 10 if raw >= 1 else 1.0
        while raw < power:
            power /= 10
        step = next(each * power for each in STEPS if each * power >= raw)
        first = int(self.low / step) + (self.low % step > 0)
        marks = (step * number for number in range(first, first + 2 * count + 2))
        return [round(mark, 9) for mark in marks if mark <= self.high]


def front(points: Sequence[Point], higher: bool = True) -> list[Point]:
    """The points that no other beats in both, the cheapest first; none of those measured loud.

    higher: whether more of the value is better.
    """
    sign = 1 if higher else -1
    quiet = sorted((p for p in points if not p.loud), key=lambda p: (p.cost, -sign * p.value))
    found: list[Point] = []
    for point in quiet:
        if not found or sign * point.value > sign * found[-1].value:
            found.append(point)
    return found


def _mark(point: Point, x: float, y: float) -> Markup:
    half = SIZE
    paths = {
        "square": f"M{x - half:.1f} {y - half:.1f}h{2 * half}v{2 * half}h{-2 * half}z",
        "triangle": f"M{x:.1f} {y - half:.1f}l{half} {2 * half}h{-2 * half}z",
    }
    arc = f"a{half} {half} 0 1 0"
    round_ = f"M{x - half:.1f} {y:.1f}{arc} {2 * half} 0{arc} {-2 * half} 0z"
    style = "hollow" if point.hollow else "full"
    return el("path", el("title", point.name), d=paths.get(point.shape, round_), class_=style)


def _point(point: Point, x: Scale, y: Scale) -> Markup:
    at = f"{x(point.cost):.1f}"
    whisker = el("line", x1=at, x2=at, y1=f"{y(point.low):.1f}", y2=f"{y(point.high):.1f}")
    mark = _mark(point, x(point.cost), y(point.value))
    loud = " loud" if point.loud else ""
    return el("g", whisker, mark, class_=f"point s{point.colour % COLOURS}{loud}")


def picture(points: Sequence[Point], xlabel: str, ylabel: str, higher: bool = True) -> Markup:
    """The plot; cost from zero, the value from the lowest interval to the highest.

    higher: whether more of the value is better.
    """
    highest = max(point.cost for point in points)
    x = Scale(0.0, highest, LEFT, WIDTH - RIGHT)
    lows, highs = (point.low for point in points), (point.high for point in points)
    y = Scale(min(lows), max(highs), HEIGHT - BOTTOM, TOP)
    best = " ".join(f"{x(p.cost):.1f},{y(p.value):.1f}" for p in front(points, higher))
    line = el("polyline", points=best, class_="front")
    plot = Plot(WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, drop=18)
    framed = frame(plot, (xlabel, ylabel), x, y, (x.ticks(), y.ticks()))
    drawn = [*framed, line, *(_point(p, x, y) for p in points)]
    box = f"0 0 {WIDTH} {HEIGHT}"
    return el("svg", *drawn, viewBox=box, role="img", aria_label=f"{ylabel} over {xlabel}")
