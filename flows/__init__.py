"""What runs when. A file here is a stage, or drives them; the commands that are none lie in tools/.

`python -m flows.<name>` runs either: the second folder that the package's modules are looked for in
spares people the word.
"""

from pathlib import Path

import engine  # noqa: F401 - sets how threads wait, before anything loads torch

__path__.append(str(Path(__file__).with_name("tools")))
