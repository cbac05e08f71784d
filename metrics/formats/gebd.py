"""Pickle or JSON of the seconds of each video's boundaries; the official one of the truth.

Detections are {video: [seconds, ...]}; the truth, as the files of Kinetics-GEBD and TAPOS have it,
is {video: {"substages_timestamps": [[seconds, ...] of each rater], "video_duration": seconds,
"f1_consis_avg": agreement, ...}}. Of a pickle only containers, numbers, texts and arrays of numpy
are made: other classes are refused. A video without detections has none. The official script passes
over videos that the truth lacks.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metrics.blocks.metric import Reads
from metrics.formats.files import known_only, number, part, read_json
from metrics.formats.pair import Pair

ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric")
ADMITTED = {
    *((module, name) for module in ARRAYS for name in ("_reconstruct", "scalar", "_frombuffer")),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
    *(("builtins", name) for name in ("set", "frozenset", "bytearray", "complex")),
    *(("__builtin__", name) for name in ("set", "frozenset", "bytearray", "complex")),
    # bytes of arrays that Python 3 wrote by protocol 2
    ("_codecs", "encode"),
}
DURATION, RATERS, AGREEMENT = "video_duration", "substages_timestamps", "f1_consis_avg"


class Refused(Exception):
    """A pickle names what is not to be made."""


class Restricted(pickle.Unpickler):
    """Makes nothing but what is ADMITTED: a pickle may name any function of any module."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise Refused(
                f"names {module}.{name}, which is no container, number or array: such a file may "
                "run anything; write it anew as JSON"
            )
        return super().find_class(module, name)


def read(predictions: Path, targets: Path, reads: Reads, common: bool = False) -> Pair:
    """Boundaries of all videos of the truth, in its order.

    common: leave out detections of videos that the truth lacks. ValueError with cause and fix where
    a file or a video does not fit.
    """
    given, true = _table(predictions), _table(targets)
    known_only(given, true, common, f"videos of {predictions} are not in {targets}")
    columns: dict[str, list[Any]] = {"duration": [], "agreement": [], "rater_boundaries": []}
    for video, known in true.items():
        where = f"{targets}, video {video}"
        if not isinstance(known, dict):
            raise ValueError(
                f"{where}: {type(known).__name__}, give the official file of the truth"
            )
        columns["rater_boundaries"].append(_raters(part(known, RATERS, list, where), where))
        for name, key in (("duration", DURATION), ("agreement", AGREEMENT)):
            columns[name].append(_times([known.get(key)], f"{where}, {key}")[0])
    numbers = {name: torch.stack(columns[name]) for name in ("duration", "agreement")}
    found = [_times(given.get(video, ()), f"{predictions}, video {video}") for video in true]
    return Pair({"boundaries": found}, columns | numbers, [], list(map(str, true)))


def _table(file: Path) -> dict[str, Any]:
    """{video: what is known of it}, of a pickle or of JSON."""
    found = read_json(file) if file.suffix == ".json" else _unpickled(file)
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{file} holds {type(found).__name__}: give {{video: ...}} of some videos")
    return found


def _unpickled(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            # the official files are Python 2's
            return Restricted(stream, encoding="latin1").load()
    except Refused as error:
        raise ValueError(f"{file} {error}") from None
    except Exception as error:  # what a broken pickle may end in has no bounds
        raise ValueError(
            f"{file} is no whole pickle ({type(error).__name__}: {error}): is it cut off, or JSON "
            "whose name does not end in .json?"
        ) from None


def _raters(raters: list, where: str) -> Tensor:
    """(raters, most), NaN after the last boundary of each."""
    if not raters:
        raise ValueError(f"{where} has no rater: give a list of boundaries of each")
    rows = [_times(rater, where) for rater in raters]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)


def _times(values: Any, where: str) -> Tensor:
    """Numbers, float64 (k,). ValueError where they are none."""
    try:
        return torch.tensor(list(map(number, values)), dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}; give seconds") from None
