"""What `flows.prune` prints, and the order in which it deletes."""

import time

from corpus.names import printable
from flows.registry.deletion import delete
from flows.registry.pruning import Choice, Rule, choose, still_goes
from flows.registry.trees import Tree, size
from flows.running.orchestrate import progress
from flows.tracking.mlflow_private import can_purge

ON_SERVER = (
    "they are marked as deleted; whoever runs the server frees the disk: mlflow gc "
    "--backend-store-uri ... (MLflow's documentation, `mlflow gc`)"
)


def readable(number: float) -> str:
    """`3.4 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def line(tree: Tree, told: str) -> str:
    """When it began, what it is, how much of it there is, and what becomes of it."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(tree.time / 1000))
    name = tree.root.info.run_name or tree.root.info.run_id
    counts = f"{len(tree.runs):5} runs {len(tree.versions):4} versions"
    return printable(f"{when}  {counts}  {name[:60]}: {told}")


def _listing(choices: list[Choice]) -> tuple[list[Tree], int]:
    """Print all trees; (those that go, their bytes)."""
    going, total = [], 0
    for tree, reason in choices:
        if reason:
            print(line(tree, f"stays, {reason}"))
            continue
        number = size(tree)
        going.append(tree)
        total += number
        begun = " (begun before)" if tree.begun else ""
        print(line(tree, f"goes{begun}, {readable(number)}"))
    return going, total


def prune(rule: Rule, sure: bool) -> None:
    """List what goes and what stays, and delete what goes where that was said."""
    going, total = _listing(choose(rule))
    runs, versions = sum(len(t.runs) for t in going), sum(len(t.versions) for t in going)
    told = f"{len(going)} trees of {runs:,} runs and {versions:,} versions, {readable(total)}"
    if not sure or not going:
        print(f"would go: {told}" + ("; --delete deletes them" if going else ""))
        return
    kept = 0
    with progress("prune") as show:
        for done, tree in enumerate(going):
            show(done, len(going), tree.root.info.run_name or "")
            # asked again, tree by tree: somebody may promote a version meanwhile
            if still_goes(tree):
                delete(tree)
            else:
                kept += 1
                print(line(tree, "stays: one of its versions has come to be needed"))
    left = f"; {kept} stay" if kept else ""
    print(f"deleted: {told}{left}" + ("" if can_purge() else f": {ON_SERVER}"))
