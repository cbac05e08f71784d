"""ActivityNet's JSON of `results`; its JSON of the `database` of videos.

Results are {"results": {video: [{label, segment, score}]}}, the truth {"database": {video:
{"subset": ..., "annotations": [{label, segment}]}}}, segments [start, end] in seconds.
Its subset `validation` counts, as in the official script; where there is
none, the only one that there is. A video without results has none found in it. What results say of
videos that the truth lacks is refused; the official script counts it as false.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics.blocks.metric import Reads
from metrics.blocks.refusing import some
from metrics.formats.files import known_only, number, part, read_json
from metrics.formats.pair import Pair

SUBSET = "validation"


def read(predictions: Path, targets: Path, reads: Reads, common: bool = False) -> Pair:
    """The segments of all videos of the subset, in the order of the results.

    common: leave out videos and labels of which the truth knows nothing. ValueError with cause and
    fix where a file, a video, a label or a segment does not fit.
    """
    results = part(read_json(predictions), "results", dict, str(predictions))
    true = _truth(targets)
    told = f"videos of {predictions} are not in {targets}"
    known_only(results, true, common, told)
    videos = [video for video in results if video in true]
    videos += [video for video in true if video not in results]
    given = {video: _segments(results, video, predictions, True) for video in videos}
    names = sorted({label for rows in true.values() for label, *_ in rows})
    labels = {label: None for rows in given.values() for label, *_ in rows}
    known_only(labels, names, common, f"labels of {predictions} are not in {targets}")
    place = {name: row for row, name in enumerate(names)}
    columns, answers = _columns(given, videos, place), _columns(true, videos, place)
    del answers["segment_score"]
    return Pair(columns, answers, names, videos)


Rows = list[tuple[str, float, float, float]]


def _truth(file: Path) -> dict[str, Rows]:
    """Label, start and end of what happens in each video of the subset."""
    database = part(read_json(file), "database", dict, str(file))
    subsets = {
        video: part(known, "subset", str, f"{file}, video {video}")
        for video, known in database.items()
    }
    there = sorted(set(subsets.values()))
    if SUBSET not in there and len(there) != 1:
        raise ValueError(
            f"{file} has the subsets {some(there) or 'of no video'} and no {SUBSET}: give one "
            "of a single subset"
        )
    chosen = SUBSET if SUBSET in there else there[0]
    lists = {
        video: part(database[video], "annotations", list, f"{file}, video {video}")
        for video, subset in subsets.items()
        if subset == chosen
    }
    return {video: _segments(lists, video, file, False) for video in lists}


def _segments(table: Mapping[str, Any], video: str, file: Path, scored: bool) -> Rows:
    """(label, start, end, score) of a video's list; ValueError tells which entry is none."""
    found = table.get(video, [])
    rows = []
    for place, entry in enumerate(found if isinstance(found, list) else [found]):
        try:
            label = part(entry, "label", str, "it")
            start, end = map(number, part(entry, "segment", list, "it"))
            if end < start:
                raise ValueError(f"its segment ends at {end} before it starts at {start}")
            score = number(entry.get("score")) if scored else 1.0
        except ValueError as error:
            raise ValueError(
                f"{file}, video {video}, entry {place}: {error}; give a label, a segment [start, "
                "end] in seconds" + ", and a score" * scored
            ) from None
        rows.append((label, start, end, score))
    return rows


def _columns(
    table: Mapping[str, Rows], videos: list[str], place: Mapping[str, int]
) -> dict[str, list[Tensor]]:
    """Columns of the videos in this order, of those labels that have a place."""
    columns: dict[str, list[Tensor]] = {"segments": [], "segment_label": [], "segment_score": []}
    for video in videos:
        rows = [(place[label], *numbers) for label, *numbers in table[video] if label in place]
        values = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)
        columns["segments"].append(values[:, 1:3])
        columns["segment_label"].append(values[:, 0].long())
        columns["segment_score"].append(values[:, 3])
    return columns
