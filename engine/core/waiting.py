"""How idle threads wait: asleep.

By default a thread of OpenMP that has no work spins for milliseconds. Two such threads on two
cores, one of which somebody else uses too, take ten times as long as one alone: each spins for the
one that does not get its turn. libgomp reads the variable once, when it is loaded with torch:
whoever imports flows or engine comes before that.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
