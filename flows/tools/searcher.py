"""One more worker of a search.

Those on its own machine the stage search starts itself (TAGDAG_SEARCHERS).

On another machine, with the same checkout, params.yaml and out/corpus, and one MLflow server and
storage for all: TAGDAG_SEARCH_STORAGE=postgresql://user@host/base
MLFLOW_TRACKING_URI=http://host:5000 python -m flows.searcher
"""

import importlib
import sys

from corpus.progress import unseen
from flows.cli.command import parser, stage_arguments, user_errors
from flows.running.processes import follow_stdin


def _follow() -> None:
    """Wait for the stage that started this process to begin; stop in order when it is gone."""
    importlib.import_module("mlflow")  # what the first network would wait for
    if not sys.stdin.buffer.readline():
        raise SystemExit(1)
    follow_stdin()


def train_until_done(follow: bool) -> None:
    """Train networks of the search until none is left."""
    import torch

    from flows.running.settings import read_backbone
    from flows.search import search
    from flows.searching.search import Search
    from flows.searching.worker import train_networks

    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as all workers of a search
    if follow:
        _follow()
    section = stage_arguments(search)
    joined = Search.join(section | {"reference": read_backbone(section["reference"])})
    train_networks(joined, unseen)
    joined.run.flush()


def main() -> None:
    """Command line of one more worker."""
    command = parser("searcher", __doc__)
    follow = "as the stage starts it: begin and end with it"
    command.add_argument("--follow", action="store_true", help=follow)
    given = command.parse_args()
    with user_errors(warn=not given.follow):
        train_until_done(given.follow)


if __name__ == "__main__":
    main()
