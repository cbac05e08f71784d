"""A thousand mixed requests to a served model, and what came back."""

import itertools
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from tests.support.hostile import GOOD, HOSTILE, inputs
from tests.support.served import base64_of

TRACES = ("Traceback", "stack_trace", 'File \\"', 'File "')


@dataclass
class Kind:
    """Requests of one kind: statuses, seconds of each, answers that held a stack trace."""

    expected: int
    statuses: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    traces: int = 0


def mixed() -> Iterator[tuple[str, int, str | bytes, dict[str, str]]]:
    """(kind, expected status, body, headers), without end: every second one is sound."""
    json_type = {"Content-Type": "application/json"}
    sound = [
        ("one image", 200, inputs(GOOD), json_type),
        ("16 images", 200, inputs(*[GOOD] * 16), json_type),
        ("a bad image among good ones", 200, inputs(GOOD, base64_of(b"hello")), json_type),
    ]
    bad = [(name, status, body, json_type) for name, (body, status, _) in HOSTILE.items()]
    bad += [
        ("CSV", 415, "image\nx", {"Content-Type": "text/csv"}),
        ("no type", 415, inputs(GOOD), {}),
        ("compressed", 415, inputs(GOOD), json_type | {"Content-Encoding": "gzip"}),
        ("other host", 403, inputs(GOOD), json_type | {"Host": "evil.example"}),
        ("other origin", 403, inputs(GOOD), json_type | {"Origin": "http://evil.example"}),
    ]
    for pair in zip(itertools.cycle(sound), itertools.cycle(bad), strict=False):
        yield from pair


def asked(url: str, count: int, side_by_side: int) -> dict[str, Kind]:
    """Send so many requests, some at a time; what came back, by kind."""
    found: dict[str, Kind] = {}
    lock, limits = threading.Lock(), httpx.Timeout(60)
    with httpx.Client(timeout=limits) as client, ThreadPoolExecutor(side_by_side) as pool:

        def ask(request: tuple[str, int, Any, dict[str, str]]) -> None:
            name, expected, body, headers = request
            begun = time.perf_counter()
            try:
                answer = client.post(f"{url}/invocations", content=body, headers=headers)
                status, text = answer.status_code, answer.text
            except httpx.HTTPError as error:
                status, text = type(error).__name__, ""
            with lock:
                kind = found.setdefault(name, Kind(expected))
                kind.statuses[status] += 1
                kind.seconds.append(time.perf_counter() - begun)
                kind.traces += any(trace in text for trace in TRACES)

        list(pool.map(ask, itertools.islice(mixed(), count)))
    return found


def table(found: dict[str, Kind]) -> list[str]:
    """Rows of Markdown, a kind each; "!" where an answer was another than it must be."""
    rows = ["| request | sent | must | got | with a trace | p50 ms |", "| --- " * 6 + "|"]
    for name, kind in found.items():
        got = ", ".join(f"{status}: {n}" for status, n in sorted(kind.statuses.items(), key=str))
        mark = "" if set(kind.statuses) == {kind.expected} else " !"
        middle = 1000 * np.median(kind.seconds)
        sent = sum(kind.statuses.values())
        rows.append(
            f"| {name} | {sent} | {kind.expected} | {got}{mark} | {kind.traces} | {middle:.0f} |"
        )
    return rows


def summed(found: dict[str, Kind]) -> str:
    """One line of a whole run."""
    statuses, wrong, traces = Counter(), 0, 0
    for kind in found.values():
        classes = defaultdict(int)
        for status, n in kind.statuses.items():
            classes[f"{str(status)[0]}xx" if isinstance(status, int) else "no answer"] += n
            wrong += n * (status != kind.expected)
        statuses.update(classes)
        traces += kind.traces
    told = ", ".join(f"{name}: {n}" for name, n in sorted(statuses.items()))
    wrong = f"{wrong} otherwise than they must be, {traces} with a stack trace"
    return f"{statuses.total()} requests; {told}; {wrong}"
