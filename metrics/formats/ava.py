"""CSV of AVA: video, second, x1, y1, x2, y2, action, score; the truth's has no score, or persons.

A line of video and second alone is a frame without boxes. Boxes are shares of the frame's sides. Of
a person who does several things there is a line for each. Beside the truth's file its folder may
hold, as AVA's does:

- a list of actions, `*.pbtxt` (of several the one `for_activitynet`, which the official evaluation
  takes): actions that are not in it do not count;
- frames that do not count, `*excluded_timestamps*.csv`: of several the one named as the truth.

As in the official evaluation the 50 highest boxes of a frame count, and frames that the truth does
not name are none. Frames of one video are resampled together.
"""

import csv
import heapq
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metrics.blocks.metric import Reads
from metrics.blocks.refusing import some
from metrics.formats.files import known_only, number, read_text
from metrics.formats.pair import Pair

MOST = 50  # boxes of a frame
LONGEST = 10**7  # seconds of a video
ENTRY = re.compile(r'name: "([^"]*)"\s+(?:label_)?id: (\d+)')
EXCLUDED = "_excluded_timestamps"
# score, action, y1, x1, y2, x2: the order by which the official reader settles equal scores
Box = tuple[float, int, float, float, float, float]
Frames = dict[str, list[Box]]


def read(predictions: Path, targets: Path, reads: Reads, common: bool = False) -> Pair:
    """The boxes of all frames that the truth names, in its order.

    common: leave out frames that the truth does not name, as the official evaluation does.
    ValueError with cause and fix where a file, a line or a frame does not fit.
    """
    names = _actions(targets)
    excluded = _excluded(targets)
    true = _frames(targets, (2, 7, 8), 0, names)
    given = _frames(predictions, (2, 8), MOST, names)
    given = {frame: boxes for frame, boxes in given.items() if frame not in excluded}
    known_only(given, true, common, f"frames of {predictions} are not in {targets}")
    frames = [frame for frame in true if frame not in excluded]
    columns, answers = _columns(given, frames), _columns(true, frames)
    columns["box_score"] = [_tensor(given.get(frame, []), slice(0, 1))[:, 0] for frame in frames]
    videos = [frame.rpartition(",")[0] for frame in frames]
    answers["group"] = torch.from_numpy(np.unique(videos, return_inverse=True)[1].reshape(-1))
    if not names:
        most = max((box[1] for boxes in true.values() for box in boxes), default=0)
        names = {action: str(action) for action in range(1, most + 1)}
    listed = [names.get(action, str(action)) for action in range(1, max(names, default=0) + 1)]
    return Pair(columns, answers, listed, frames)


def _beside(file: Path, pattern: str, first: str) -> Path | None:
    """The file of this kind in the truth's folder: of several the one that `first` is part of."""
    found = [each for each in sorted(file.parent.glob(pattern)) if each != file]
    named = [each for each in found if first in each.name]
    if len(found) > 1 and len(named) != 1:
        raise ValueError(
            f"{file.parent} has several of {pattern} ({some(each.name for each in found)}): keep "
            "the one that belongs to the truth"
        )
    return (named or found or [None])[0]


def _actions(targets: Path) -> dict[int, str]:
    """Names of the actions that count by their numbers; empty where all do."""
    file = _beside(targets, "*.pbtxt*", "for_activitynet")
    if file is None:
        return {}
    found = {int(action): name for name, action in ENTRY.findall(read_text(file))}
    if not found or min(found) < 1:
        raise ValueError(f'{file} has no entries of name: "..." and id: 1 or more: give the list')
    return found


def _excluded(targets: Path) -> set[str]:
    """The frames that do not count."""
    stem, dash, version = targets.stem.rpartition("_")
    file = _beside(targets, f"*{EXCLUDED.strip('_')}*.csv", f"{stem}{EXCLUDED}{dash}{version}")
    return set(_frames(file, (2,), 0, {})) if file else set()


def _frames(file: Path, widths: Sequence[int], most: int, names: Mapping[int, str]) -> Frames:
    """The boxes of each frame, the highest score first, at most so many; 0: all."""
    heaps: Frames = defaultdict(list)
    for frame, box in _lines(file, widths):
        heap = heaps[frame]
        if box is None or (names and box[1] not in names):
            continue
        # as the official reader does it, so that equal scores come in the same order
        if not most or len(heap) < most:
            heapq.heappush(heap, box)
        elif box[0] > heap[0][0]:
            heapq.heapreplace(heap, box)
    return {frame: sorted(boxes, key=lambda box: -box[0]) for frame, boxes in heaps.items()}


def _lines(file: Path, widths: Sequence[int]) -> Iterator[tuple[str, Box | None]]:
    """(frame, box or None) of each line. ValueError tells which one is none."""
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    empty = True
    try:
        for row in reader:
            if row:
                empty = False
                if len(row) not in widths:
                    wanted = " or ".join(map(str, widths))
                    raise ValueError(f"{len(row)} columns, give {wanted}")
                yield _frame(*row[:2]), _box(row[2:]) if len(row) > 2 else None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{file}, line {reader.line_num}: {error}") from None
    if empty:
        raise ValueError(f"{file} has no lines: give a CSV file of AVA")


def _frame(video: str, second: str) -> str:
    try:
        at = Decimal(second)
    except InvalidOperation:
        at = None
    # a number such as 1e999999 would be written out
    if at is None or not at.is_finite() or abs(at) > LONGEST:
        raise ValueError(f"{second!r} is no second of a video")
    return f"{video},{at:.6f}"


def _box(values: Sequence[str]) -> Box:
    x1, y1, x2, y2 = map(number, values[:4])
    if not re.fullmatch(r"[1-9]\d*", values[4].strip()):
        raise ValueError(f"{values[4]!r} is no action: give its number, counted from 1")
    score = number(values[5]) if len(values) > 5 else 1.0
    return score, int(values[4]), y1, x1, y2, x2


def _columns(table: Mapping[str, list[Box]], frames: Sequence[str]) -> dict[str, list[Tensor]]:
    rows = [table.get(frame, []) for frame in frames]
    return {
        "boxes": [_tensor(row, [3, 2, 5, 4]) for row in rows],
        "box_label": [_tensor(row, slice(1, 2))[:, 0].long() - 1 for row in rows],
    }


def _tensor(boxes: list[Box], columns: list[int] | slice) -> Tensor:
    return torch.tensor(boxes, dtype=torch.float64).reshape(-1, 6)[:, columns]
