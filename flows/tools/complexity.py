"""What a network costs, counted: `python -m flows.complexity resnet`, or the file of a section.

A row of parameters, multiply-adds and activations under a named rule, with --stages one for each
shape of map; of a backbone that reads clips for one of --frames. Options stand as in params.yaml:
`python -m flows.complexity vit "width: 192, heads: 3"`. No weight is made and nothing runs.

With --head retinanet, or another of objects or pixels, new weights are run on an image of noise:
what such a head computes depends on what it sees. Regions are then as many as it looks at there; of
masks, --head-options "least_score: 0" has as many as it tells at the most.
"""

from pathlib import Path
from typing import Any

import yaml

from flows.cli.command import parser, user_errors

RULES = ("pycls", "torch")  # as in engine/measure/complexity.py, which imports torch


def read_section(name: str, options: str) -> dict[str, Any]:
    """The section of a backbone: of a YAML file, or named, with further keys as YAML.

    ValueError for what is neither.
    """
    path = Path(name)
    section = {"name": name}
    try:
        if path.suffix in (".yaml", ".yml"):
            section = yaml.safe_load(path.read_text(encoding="utf-8"))
        further = yaml.safe_load("{" + options + "}")
    except yaml.YAMLError as error:
        raise ValueError(
            f"{name} {options!r}: no YAML ({' '.join(str(error).split())}); write options as in "
            "'depths: [2, 2, 2, 2], block: basic'"
        ) from None
    except FileNotFoundError:
        raise ValueError(f"{name}: no such file; give one, or the name of a backbone") from None
    if not isinstance(section, dict):
        raise ValueError(f"{name}: found no keys and values, expected a section with a name")
    return section | further


def main() -> None:
    """Print the table."""
    command = parser("complexity", __doc__)
    command.add_argument("name", help="a backbone, or a YAML file of its section")
    options = "its options, as in params.yaml between { and }"
    command.add_argument("options", nargs="?", default="", help=options)
    pixels = "side of the images in pixels (default: 224)"
    command.add_argument("--resolution", type=int, default=224, help=pixels)
    frames = "frames of the clips (default: 8; only of a backbone that reads clips)"
    command.add_argument("--frames", type=int, help=frames)
    rule = "the rule of counting (default: pycls)"
    command.add_argument("--rule", choices=RULES, default="pycls", help=rule)
    head = "the head on top, or a YAML file of its section (default: linear)"
    command.add_argument("--head", default="linear", help=head)
    own = "its options, as in params.yaml between { and }"
    command.add_argument("--head-options", default="", metavar="OPTIONS", help=own)
    classes = "classes of the head (default: 1000)"
    command.add_argument("--classes", type=int, default=1000, help=classes)
    stages = "a row for each shape of map as well"
    command.add_argument("--stages", action="store_true", help=stages)
    given = command.parse_args()
    with user_errors():
        from flows.tools.counting import counted, table

        section = read_section(given.name, given.options)
        head = read_section(given.head, given.head_options)
        sizes = given.resolution, given.rule, given.classes, given.frames
        rows = counted(section, *sizes, head)
        print(table(rows, given.rule, given.stages))


if __name__ == "__main__":
    main()
