"""A network grown along the axis that pays most: `python -m flows.expand small.yaml --factor 8`.

Feichtenhofer 2020, "X3D", arXiv 2004.04730, section 3.2; flows/tools/expansion.py computes. A
command that was cut short goes on where it was.
"""

from pathlib import Path

from flows.cli.command import parser, user_errors

# images come in the pixels of the corpus, so that their number is an axis of clips only
TRAINED = ("fast", "temporal", "spatial", "depth", "width", "bottleneck")


def main() -> None:
    """Command line."""
    command = parser("expand", __doc__)
    section = "YAML of a backbone's section: an anynet, or a network of clips"
    command.add_argument("section", type=Path, help=section)
    times = "multiply-adds of the result over the start's (default: 8)"
    command.add_argument("--factor", type=float, default=8, help=times)
    tried = (
        "to try in each step, of equally good ones the first is taken (default: all that the "
        "network has; fast: more frames a second, temporal: longer clips, spatial: more pixels)"
    )
    command.add_argument("--axes", nargs="+", choices=TRAINED, help=tried)
    out = "where the result is written (default: expanded.yaml)"
    command.add_argument("--out", type=Path, default=Path("expanded.yaml"), help=out)
    given = command.parse_args()
    with user_errors():
        from flows.tools.expansion import grow

        grow(given.section, given.factor, given.axes, given.out)


if __name__ == "__main__":
    main()
