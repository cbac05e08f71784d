"""A limit on address space that torch would crash under is told before torch is imported."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from flows.running import limits

ROOT = Path(__file__).parents[3]
GIB = 1 << 30


@pytest.mark.parametrize("allowed", [GIB, 3 * GIB, limits.ADDRESS_SPACE - 1])
def test_too_little_address_space_is_told_with_the_fix(monkeypatch, allowed):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (allowed, resource.RLIM_INFINITY))
    with pytest.raises(ValueError, match="ulimit -v unlimited"):
        limits.enough_address_space()


@pytest.mark.parametrize("allowed", [limits.ADDRESS_SPACE, 1 << 40, resource.RLIM_INFINITY])
def test_enough_is_enough(monkeypatch, allowed):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (allowed, resource.RLIM_INFINITY))
    limits.enough_address_space()


def test_a_real_limit_is_seen_and_nothing_heavy_is_imported_for_it():
    code = "from flows.running.limits import enough_address_space; enough_address_space()"
    command = f"ulimit -v {3 << 20}; exec {sys.executable} -c '{code}'"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "may map 3.0 GiB" in done.stderr
