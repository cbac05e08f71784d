"""Made-up trials of a search, with all that can become of one."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FAILED = {  # every 7th trial, in turn
    "pruned": "epoch 1: 74.0 % is worse than the median",
    "diverged": "the loss became NaN in step 40",
    "out of memory": "<b>CUDA</b> out of memory & 2 retries",
}


def row(trial: int, rng: np.random.Generator, gain: float = 0) -> dict[str, Any]:
    """A complete trial whose error depends on depth and flops, not on w_m."""
    values = {
        "depth": int(rng.integers(4, 20)),
        "w_0": int(8 * 2 ** rng.uniform(0, 4)),
        "w_m": rng.uniform(1.5, 3),
    }
    flops = float(rng.uniform(3e6, 5e6))
    error = 40 + abs(values["depth"] - 12) - 2e-6 * flops + float(rng.normal()) - gain
    return {
        "trial": trial,
        "outcome": "complete",
        "error": error,
        "error_top5": error / 2,
        "params": flops / 40 * float(rng.uniform(0.5, 1.5)),
        "flops": flops,
        "acts": 200 * flops**0.5 * float(rng.uniform(0.8, 1.2)),
        "seconds": flops / 1e5,
        "images": 20_000,
        "values": values,
        "network": {"name": "regnet", **values},
        "curve": [[epoch, error + 30 / epoch - 10] for epoch in (1, 2, 3)],
    }


def search(n: int = 40, seed: int = 0, gain: float = 0) -> list[dict[str, Any]]:
    """The reference and n trials, every seventh of which failed."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            **row(0, rng),
            "trial": "reference",
            "error": 41.0,
            "values": {},
            "network": {"name": "resnext"},
        }
    ]
    for trial in range(n):
        rows.append(row(trial, rng, gain))
        if trial % 7 == 6:
            outcome = list(FAILED)[trial // 7 % 3]
            rows[-1] |= {
                "outcome": outcome,
                "reason": FAILED[outcome],
                "error": None,
                "error_top5": None,
            }
            rows[-1]["curve"] = rows[-1]["curve"][:2] if outcome == "pruned" else []
    return rows


def leave(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """The folder of a finished search of these trials."""
    folder.mkdir(parents=True)
    (folder / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
