"""A registered version over a table in many parts, each scored by one of Dask's processes."""

import functools
import time
from typing import Any

import numpy as np
import pandas as pd

from tests.support.served import png


@functools.cache
def function(uri: str) -> Any:
    """The version, loaded once in each process."""
    from mlflow import pyfunc

    return pyfunc.load_model(uri)


def scored(part: pd.DataFrame, uri: str) -> pd.DataFrame:
    """What a worker makes of a part of the table."""
    return function(uri).predict(part)[["class", "score", "error"]]


def in_bulk(uri: str, images: int) -> str:
    """Score a table by Dask and in this process; ValueError where the two differ."""
    import dask
    import dask.dataframe

    draws = np.random.default_rng(0)
    pixels = [draws.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(images)]
    rows = pd.DataFrame({"id": range(images), "image": [png(each) for each in pixels]})
    begun = time.perf_counter()
    expected = scored(rows, uri)
    alone = time.perf_counter() - begun
    meta = {"class": "object", "score": "float64", "error": "object"}
    begun = time.perf_counter()
    # else Dask takes a column of bytes for one of texts
    with dask.config.set({"dataframe.convert-string": False}):
        parts = dask.dataframe.from_pandas(rows, npartitions=8)
        lazily = parts.map_partitions(scored, uri, meta=meta)
        found = lazily.compute(scheduler="processes", num_workers=2)
    taken = time.perf_counter() - begun
    if not np.allclose(found["score"], expected["score"], atol=1e-6):
        raise ValueError("Dask's processes give other scores than this one")
    if found["class"].tolist() != expected["class"].tolist():
        raise ValueError("Dask's processes give other classes than this one")
    return (
        f"{images} images of 64 x 64: {alone:.1f} s in one process, {taken:.1f} s by two processes "
        "of Dask, their start and two loads included; the same classes and scores."
    )
