"""The numbers of a record by the names that MLflow shows them under: those of its headline.

`top1` of the registered weights, `top1_mean` over the seeds with `top1_low` and `top1_high`: what
other metrics call theirs stands beside it, and runs made before there were any keep their names.
"""

import math
from typing import Any

from flows.measuring.dvcmetrics import compared
from flows.measuring.headline import of_record
from flows.measuring.summary import ARM

# the record's key -> its name, of a headline
NAMED = {
    "best": "{}",
    "value": "{}_mean",
    "low": "{}_low",
    "high": "{}_high",
    "val": "val_{}",
    "best_bound": "{}_lower_bound",
    "bound": "{}_mean_lower_bound",
}
COST = ("latency_p50_ms", "latency_p95_ms", "images_per_second", "peak_memory_mib")
NO_METRIC = {*ARM, "seed", "pretrainings", "batch", "fit", "held_out"}  # numbers that are settings


def record_numbers(record: dict[str, Any]) -> dict[str, float]:
    """Every finite number of a record, and its costs as cost/<mode>/<batch>/<what>.

    Times of a busy machine have names of their own.
    """
    busy, headline = record.get("busy"), of_record(record).name
    known = {key: value for key, value in record.items() if key not in NO_METRIC}
    known = record.get("values", {}) | known
    named = {NAMED.get(key, key).format(headline): value for key, value in known.items()}
    found = {compared(key, busy): value for key, value in named.items()}
    for cost in record.get("costs", ()):
        for key in COST:
            name = compared(key, cost.get("busy"))
            found[f"cost/{cost['mode']}/{cost['batch']}/{name}"] = cost.get(key)
    return {key: float(value) for key, value in found.items() if _finite(value)}


def _finite(value: Any) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value)
