"""`python -m flows.searching.expand`: flows/tools/expand.py, found beside the search.

Run by its name: what is a command may import what is none, and not the other way round.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.expand", run_name="__main__", alter_sys=True)
