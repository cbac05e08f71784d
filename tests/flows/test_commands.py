"""A forked command of the tests is in all that it can see as one that a shell starts."""

import json

import pytest

from tests.support.commands import run

# in a folder of its own, by a name that this repository has too
SEEN = """
import json, os, sys, threading
from pathlib import Path
import corpus
forked = "torch" in sys.modules
import numpy as np
if __name__ == "__main__":
    spec = sys.modules["__main__"].__spec__
    out = [[each.encoding, each.errors, each.line_buffering] for each in (sys.stdout, sys.stderr)]
    print(json.dumps({"arguments": sys.argv, "folder": os.getcwd(), "path": sys.path,
        "module": spec.name, "ours": corpus.__file__, "read": sys.stdin.read(), "streams": out,
        "environment": dict(os.environ), "threads": threading.active_count(),
        "files": sorted(map(str, Path("/proc/self/fd").iterdir()))[:3]}))
    threading.Timer(0.1, lambda: print(forked, np.random.rand(), file=sys.stderr)).start()
"""
ENDS = {"pass": 0, "sys.exit(3)": 3, "sys.exit('why')": 1, "1 / 0": 1}
ENDS |= {"raise KeyboardInterrupt": -2, "os.kill(os.getpid(), 9)": -9}


@pytest.fixture
def folder(tmp_path):
    """A folder with a package `corpus`, whose module `seen` tells about its process."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "__init__.py").touch()
    (tmp_path / "corpus" / "seen.py").write_text(SEEN)
    return tmp_path


def test_a_forked_command_sees_what_a_started_one_sees(folder):
    command = ("python", "-m", "corpus.seen", "--a", "b c")
    told = [run(folder, *command, new=new, TAGDAG_SET="1") for new in (True, False, False)]
    seen, own = zip(*(each.splitlines() for each in told), strict=True)
    assert seen[0] == seen[1] == seen[2] and json.loads(seen[0])["environment"]["TAGDAG_SET"] == "1"
    assert [each.split()[0] for each in own] == ["False", "True", "True"]
    assert own[1] != own[2], "the same random numbers"


def test_what_python_or_a_library_reads_when_it_starts_is_heeded(folder):
    told = run(folder, "python", "-m", "corpus.seen", PYTHONIOENCODING="latin-1")
    assert '"latin-1"' in told


@pytest.mark.parametrize(("code", "ends"), ENDS.items())
def test_a_forked_command_ends_as_a_started_one_does(folder, code, ends):
    (folder / "corpus" / "ends.py").write_text(f"import os, sys\nprint('done')\n{code}\n")
    printed = run(folder, "python", "-m", "corpus.ends", code=ends)
    assert ends == -9 or "done" in printed
    assert ("Traceback" in printed) == (code in ("1 / 0", "raise KeyboardInterrupt"))
    assert "why" in printed or "why" not in code
