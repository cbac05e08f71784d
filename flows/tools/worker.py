"""One worker of a pretraining by several machines that share this folder.

Torchrun starts it on each of them:

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m
    flows.worker winner-hashtags

A machine or worker that dies is replaced or done without (torchrun's --nnodes 1:2, --max-restarts),
and the run goes on from its last state. The finished state stays in .tagdag/state, where `dvc
repro` on one machine finds it.
"""

import argparse
from contextlib import nullcontext

from flows.cli.command import stage_arguments, user_errors
from flows.running.processes import follow_stdin


def train(training: str) -> None:
    """Train together with the other workers."""
    from engine.training.distributed import joined
    from flows.pretrain import pretrain, section_of, state_of, training_title, trainings
    from flows.tracking.tracking import stage_run
    from flows.training.learning import Job, train_as_worker
    from flows.training.monitoring import Monitoring
    from flows.training.threads import own_threads

    with joined() as workers:
        arguments = stage_arguments(pretrain, training)
        section, monitor = section_of(arguments), arguments["monitor"]
        parts = trainings(section)
        about = section if section["seeds"] else parts[0]
        with stage_run(f"pretrain@{training}", about) if workers.first else nullcontext() as run:
            for part in parts:
                name, state = training_title(training, part, parts), state_of(training, part)
                alone = workers.world == 1
                with own_threads(Job.of(part), run, name) if alone else nullcontext():
                    first = workers.first and monitor is not None
                    watch = Monitoring(monitor, part, state, run, name) if first else None
                    train_as_worker(part, state, run, name, watch)


def main() -> None:
    """Command line of one worker."""
    raw = argparse.RawDescriptionHelpFormatter
    about = {"prog": "torchrun ... -m flows.worker", "description": __doc__}
    parser = argparse.ArgumentParser(**about, formatter_class=raw)
    parser.add_argument("training", help="a name of the section pretrain")
    parser.add_argument("--follow", action="store_true", help="stop when standard input is closed")
    given = parser.parse_args()
    if given.follow:
        follow_stdin()
    with user_errors(warn=not given.follow):
        train(given.training)


if __name__ == "__main__":
    main()
