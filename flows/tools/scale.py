"""A network made larger or smaller: `python -m flows.scale out/search/winner.yaml --factor 4`.

Shows what each rule of Dollár et al. 2021 (arXiv 2103.06877) makes of it, and how long that runs;
flows/tools/scaling.py computes.
"""

from pathlib import Path

from flows.cli.command import parser, user_errors

FAST = "d1_w8_g8_r1"  # as in flows/tools/scaling.py, which imports torch; a test holds them equal


def main() -> None:
    """Print the table and write the chosen section."""
    command = parser("scale", __doc__)
    command.add_argument("file", type=Path, help="a regnet, anynet or efficientnet (YAML)")
    times = "times the flops (default: 4; less than 1 shrinks)"
    command.add_argument("--factor", type=float, default=4, help=times)
    rule = f"of the section that is written (default: {FAST}, dWr)"
    command.add_argument("--rule", default=FAST, help=rule)
    command.add_argument("--out", type=Path, help="file to write that section to")
    pixels = "pixels of the images (default: corpus.size of params.yaml)"
    command.add_argument("--resolution", type=int, help=pixels)
    images = "images of a measured forward pass (default: 8)"
    command.add_argument("--batch", type=int, default=8, help=images)
    given = command.parse_args()
    with user_errors():
        from flows.tools.scaling import scale

        scale(given.file, given.factor, given.rule, given.out, given.resolution, given.batch)


if __name__ == "__main__":
    main()
