"""What is wrong with this machine, this folder and its services, and how to mend it.

Python, versions, processor, GPU and driver, environment variables, git, params.yaml, data, disk,
MLflow, Prefect's server, remotes of DVC, the clock. Nothing is changed. The exit code is 1 where
something is wrong.
"""

import json
import os
import sys

from flows.cli.command import parser, user_errors

MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


def main() -> None:
    """Command line: a line per check, and below it the fix."""
    command = parser("doctor", __doc__)
    command.add_argument("--json", action="store_true", help="the findings as JSON, for programs")
    given = command.parse_args()
    with user_errors():
        # what is away is told at once: a person waits
        os.environ["TAGDAG_MLFLOW_PATIENCE"] = "0"
        from flows.checkup.checks import findings

        found = {}
        for name, finding in findings():
            found[name] = finding
            if not given.json:
                print(f"{MARKS[finding.state]} {name}: {finding.found}", flush=True)
            if finding.fix and not given.json:
                print(f"      -> {finding.fix}", flush=True)
        if given.json:
            print(json.dumps({name: each._asdict() for name, each in found.items()}, indent=1))
        sys.exit(int(any(each.state == "wrong" for each in found.values())))


if __name__ == "__main__":
    main()
