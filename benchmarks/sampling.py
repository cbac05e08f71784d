"""Networks of a design space drawn per second, against the sampler of its authors (pycls) in one
run.

`python -m benchmarks.sampling --pycls DIR [--python PY] [--rounds 5] [--draws 10000] [--out]`: DIR
is a checkout of pycls, PY a Python that has its requirements. RegNetX at 360 to 400 million
multiply-adds of the body; both sides draw from the authors' ranges, reject by their own code, in
one process, in turns. Then a million of each space.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from engine.core.build import build, choices
from engine.measure.profile import device_name

RESULTS = Path(__file__).parent / "results/sampling.md"
BAND = [3.6e8, 4.0e8]
PEER = """
import json, sys, time
import pycls.sweep.config as config
import sweep_setup
band, draws = json.loads(sys.argv[1]), int(sys.argv[2])
setup = config.sweep_cfg.SETUP
setup.BASE_CFG.MODEL.TYPE, setup.BASE_CFG.MODEL.NUM_CLASSES = "regnet", 0
setup.SAMPLERS.REGNET = config.load_sampler("REGNET", config.CfgNode({"TYPE": "regnet_sampler"}))
setup.CONSTRAINTS.CX.FLOPS, setup.CHUNK_SIZE = band, draws
for seed in sys.stdin:
    start = time.perf_counter()
    found = sweep_setup.sample_cfgs(int(seed))
    print(json.dumps([time.perf_counter() - start, [key.split() for key in found]]), flush=True)
"""


class Peer:
    """The sampler of pycls in a process of its own, imported before the clock starts."""

    def __init__(self, checkout: Path, python: str, draws: int) -> None:
        paths = os.pathsep.join(map(str, (checkout, checkout / "tools")))
        env = os.environ | {"PYTHONPATH": paths, "CONDA_PREFIX": "", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [python, "-c", PEER, json.dumps(BAND), str(draws)]
        self.process = subprocess.Popen(
            command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def draw(self, seed: int) -> tuple[float, list[dict[str, Any]]]:
        """Seconds that it took, and the networks as sections of ours."""
        print(seed, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(
                "pycls ended: give a checkout as --pycls, and as --python one with its requirements"
            )
        seconds, found = json.loads(line)
        keys = {"REGNET.DEPTH": "depth", "REGNET.W0": "w_0", "REGNET.WA": "w_a", "REGNET.WM": "w_m"}
        keys |= {"REGNET.GROUP_W": "group_width"}
        sections = []
        for row in found:
            values = dict(zip(row[::2], row[1::2], strict=True))
            ours = {name: json.loads(values[key]) for key, name in keys.items()}
            sections.append({"name": "regnet", **ours})
        return seconds, sections


def timed(space: Any, n: int, seed: int) -> float:
    """Seconds for n members, as they are handed out."""
    start = time.perf_counter()
    assert len(space.draw(n, torch.Generator().manual_seed(seed))) == n
    return time.perf_counter() - start


def against(peer: Peer, rounds: int) -> list[str]:
    """Members per second of both sides, and the ratio.

    A ValueError if a network of pycls is none of ours.
    """
    space, ours, theirs, members = build("spaces", {"name": "regnetx", "flops": BAND}), [], [], 0
    for seed in range(-1, rounds):  # the first warms up
        seconds, found = peer.draw(seed + 1)
        strangers = [section for section in found if not space.contains(section)]
        if strangers:
            raise ValueError(f"networks of pycls that the space lacks: {strangers[:3]}")
        if seed >= 0:
            members += len(found)
            theirs.append(len(found) / seconds)
            ours.append(20_000 / timed(space, 20_000, seed))
    lines = ["| RegNetX, 360 to 400 MF | members/s, median | range |", "| --- | --- | --- |"]
    for side, rates in (("pycls", theirs), ("tagdag", ours)):
        lines.append(f"| {side} | {median(rates):,.1f} | {min(rates):,.1f} to {max(rates):,.1f} |")
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    lines.append(f"| ratio | {median(ratios):,.0f} | {ratios[0]:,.0f} to {ratios[-1]:,.0f} |")
    return [
        *lines,
        "",
        f"All {members} networks that pycls drew are members of the space here, within the band.",
        "",
    ]


def a_million(n: int) -> list[str]:
    """Seconds for that many different members of each space."""
    lines = [f"| {n:,} members, 360 to 400 MF | seconds |", "| --- | --- |"]
    for name in sorted(choices("spaces")):
        lines.append(
            f"| {name} | {timed(build('spaces', {'name': name, 'flops': BAND}), n, 0):.1f} |"
        )
        print(lines[-1], file=sys.stderr)
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pycls", type=Path, required=True, help="a checkout of facebookresearch/pycls"
    )
    parser.add_argument("--python", default=sys.executable, help="the Python that runs it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--draws", type=int, default=10_000, help="draws of pycls a round, members or not"
    )
    parser.add_argument(
        "--members", type=int, default=10**6, help="of each space in the second table"
    )
    parser.add_argument("--out", action="store_true", help=f"write {RESULTS.name} too")
    arguments = parser.parse_args()
    commit = subprocess.check_output(
        ["git", "-C", arguments.pycls, "rev-parse", "--short", "HEAD"], text=True
    ).strip()
    versions = f"numpy {version('numpy')}, torch {torch.__version__}, pycls {commit}"
    device = f"{device_name(torch.device('cpu'))}; {versions}; {datetime.now(UTC):%Y-%m-%d}"
    flags = f"--pycls DIR --rounds {arguments.rounds} --draws {arguments.draws}"
    command = f"`python -m benchmarks.sampling {flags}`"
    compared = against(Peer(arguments.pycls, arguments.python, arguments.draws), arguments.rounds)
    text = "\n".join([command, "", device, "", *compared, *a_million(arguments.members)])
    print(text)
    if arguments.out:
        RESULTS.write_text(f"# Drawing networks of a design space\n\n{text}\n")


if __name__ == "__main__":
    main()
