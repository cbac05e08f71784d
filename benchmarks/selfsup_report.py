"""The study of pretrainings as a table and a picture: what each took, what it gave on few labels,
over no pretraining and over hashtags, and what was watched while it ran.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.anytask import values
from benchmarks.overlays import TASK, Made, head
from flows.measuring.headline import Headline
from flows.measuring.summary import SCRATCH, head_name, pretraining_name
from flows.reports.models.words import HEADS
from flows.tracking import tracking

if TYPE_CHECKING:
    from benchmarks.selfsup import Pretraining

Record = dict[str, Any]
HASHTAGS = "hashtags"
PROBE = "logistic"  # a linear classifier on the frozen features: what the features are worth
KNN = "knn"
SHOWN = 10  # versions of the registry
ABOUT = """Of each pretraining: the posts that it saw, each epoch anew; whole images that passed
the backbone, small views by their pixels, with a gradient and (of a teacher) without; the compute
of both, where a pass without a gradient counts a third; seconds by the clock, other work on the
machine included. Compute was made about equal, not seconds: views cost time too."""
RESULTS = """Top-1 % on test images of CIFAR-10 (95 % interval over seeds of the fine-tuning and
test images), with so many labels per class. Each pretraining ran once: what another seed of it
would have given is not in the intervals."""
VERDICTS = """Points over the same network with new weights, and over hashtags, paired by seed and
test image (95 % interval). An answer `yes` or `no` where the interval is on one side of 0."""
WATCHED = (
    """What the monitors told, first and last; the neighbours' accuracy is of frozen features."""
)


def listed(names: Sequence[str]) -> list[str]:
    """The head of a Markdown table."""
    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]


def row(cells: Iterable[Any]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def short(name: str) -> str:
    """A pretraining without its candidate."""
    return name.partition("-")[2] or name


def costs(took: Sequence["Pretraining"]) -> list[str]:
    """Epochs, images, passes and seconds of each."""
    names = ("pretraining", "epochs", "posts seen", "passes with gradient", "without")
    lines = listed([*names, "compute", "seconds", "posts per second"])
    for each in took:
        cells = [short(each.name), f"{each.epochs:g}"]
        counts = (each.seen, each.trained, each.taught, each.compute, each.seconds)
        cells += [f"{count:,.0f}" for count in counts]
        lines.append(row([*cells, f"{each.seen / each.seconds:,.0f}"]))
    return lines


def arms(records: Sequence[Record]) -> list[tuple[str, Any]]:
    """Heads and numbers of labels, as they stand in the columns."""
    return list(dict.fromkeys((head_name(record), record["labels"]) for record in records))


def by_arm(records: Sequence[Record]) -> dict[str, dict[tuple[str, Any], Record]]:
    """Records by pretraining and by head and labels."""
    found: dict[str, dict[tuple[str, Any], Record]] = {}
    for record in records:
        arm = (head_name(record), record["labels"])
        found.setdefault(pretraining_name(record), {})[arm] = record
    return found


def accuracies(records: Sequence[Record]) -> list[str]:
    """A row per pretraining, a column per head and number of labels."""
    columns = arms(records)
    titles = [f"{HEADS[name]}, {labels}" for name, labels in columns]
    lines = listed(["pretraining", *titles])
    for name, found in by_arm(records).items():
        told = (found[arm] for arm in columns)
        lines.append(row([name, *(spread(one, "") for one in told)]))
    return lines


def spread(record: Record, sign: str) -> str:
    """A number with its interval."""
    told = f"{record['value']:{sign}.1f}"
    if record["low"] is None:
        return told
    return f"{told} ({record['low']:{sign}.1f} to {record['high']:{sign}.1f})"


def gain(work: Path, ours: Record, theirs: Record) -> Record:
    """What a model is better by than another of the same head and labels."""
    from flows.measuring.intervals import gain_of_values

    found = [values(work, TASK, record["model"]) for record in (ours, theirs)]
    return dict(zip(("value", "low", "high"), gain_of_values(*found, Headline()), strict=True))


def verdict(found: Record) -> str:
    """Whether an interval says that a gain is one."""
    if found["low"] is None:
        return "one seed"
    if found["low"] > 0:
        return "yes"
    return "no" if found["high"] < 0 else "does not show"


def verdicts(work: Path, records: Sequence[Record]) -> list[str]:
    """Gains of each pretraining: over none on the linear probe, over hashtags on all."""
    found, columns = by_arm(records), arms(records)
    probes = [arm for arm in columns if arm[0] == PROBE]
    titles = [f"above new weights, {HEADS[PROBE]}, {labels}" for _, labels in probes]
    titles += [f"above hashtags, {HEADS[name]}, {labels}" for name, labels in columns]
    lines = listed(["pretraining", *titles])
    for name, own in found.items():
        pairs = [(own[arm], found[SCRATCH][arm]) for arm in probes]
        pairs += [(own[arm], found[HASHTAGS][arm]) for arm in columns]
        if name != SCRATCH:
            lines.append(row([name, *(against(work, *pair) for pair in pairs)]))
    return lines


def against(work: Path, ours: Record, theirs: Record) -> str:
    """`yes: +3.1 (+1.0 to +5.2)`; nothing of a model against itself."""
    if ours["model"] == theirs["model"]:
        return ""
    found = gain(work, ours, theirs)
    return f"{verdict(found)}: {spread(found, '+')}"


def monitors(took: Sequence["Pretraining"]) -> list[str]:
    """The last number of each monitor, and the first of the neighbours' accuracy."""
    names = list(dict.fromkeys(name for each in took for name in each.curves))
    lines = listed(["pretraining", *names])
    for each in took:
        lines.append(row([short(each.name), *(ends(each.curves.get(name)) for name in names)]))
    return lines


def ends(curve: Sequence[tuple[float, float]] | None) -> str:
    """`0.21 to 0.35`: the first and the last number; nothing where there is none."""
    if not curve:
        return ""
    first, last = curve[0][1], curve[-1][1]
    return f"{last:.3g}" if len(curve) == 1 else f"{first:.3g} to {last:.3g}"


def versions(model: str) -> Iterator[str]:
    """The best of the registered versions, the champion marked."""
    client = tracking.connect()
    found = client.search_model_versions(f"name = '{model}'")
    best = client.get_model_version_by_alias(model, "champion").version
    yield from listed(["version", "model", "top-1 %", ""])
    found = sorted(found, key=lambda version: float(version.tags["tagdag.value"]), reverse=True)
    for version in found[:SHOWN]:
        tags = version.tags
        mark = "champion" if version.version == best else ""
        number = f"{float(tags['tagdag.value']):.1f}"
        yield row([version.version, tags.get("tagdag.model", ""), number, mark])
    yield f"\n{len(found)} versions in all, those of trials of the recipe among them."


def page(made: Made, took: Sequence["Pretraining"], params: dict[str, Any]) -> str:
    """The study as Markdown; the picture is drawn beside it."""
    records = made.evaluated("records")
    picture = made.page.with_suffix(".png")
    plot(picture, records, took)
    lines = head("Hashtags or self-supervision, on the same images", made, records[0]["device"])
    lines += ["", ABOUT, "", *costs(took), "", RESULTS, "", *accuracies(records)]
    lines += ["", VERDICTS, "", *verdicts(made.work, records)]
    lines += ["", f"![accuracies and learning curves]({picture.name})"]
    if any(each.curves for each in took):
        lines += ["", WATCHED, "", *monitors(took)]
    name = params["register"]["name"]
    lines += ["", f"Registered as `{name}`:", "", *versions(name)]
    return "\n".join(lines) + "\n"


# ---- the picture


def plot(path: Path, records: Sequence[Record], took: Sequence["Pretraining"]) -> None:
    """Left: accuracy by pretraining; right: the neighbours' accuracy while each ran."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
    draw_accuracies(left, records)
    draw_curves(right, took)
    for axis, corner in ((left, "upper right"), (right, "lower right")):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc=corner)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def draw_accuracies(axis: Any, records: Sequence[Record]) -> None:
    """A place per pretraining, in it a point with its interval per head, of the most labels."""
    found, most = by_arm(records), max(record["labels"] for record in records)
    columns = [arm for arm in arms(records) if arm[1] == most]
    for number, arm in enumerate(columns):
        told = [own[arm] for own in found.values()]
        means = [one["value"] for one in told]
        # without an interval, where there is a single seed, a point alone
        low = [one["value"] - (one["low"] or one["value"]) for one in told]
        high = [(one["high"] or one["value"]) - one["value"] for one in told]
        places = [place + 0.2 * (number - 1) for place in range(len(found))]
        axis.errorbar(places, means, [low, high], fmt="o", capsize=2, label=HEADS[arm[0]])
    axis.set_xticks(range(len(found)), list(found), rotation=30, ha="right")
    axis.set(ylabel="top-1 (%)", title=f"CIFAR-10, {most} labels per class")


def draw_curves(axis: Any, took: Sequence["Pretraining"]) -> None:
    """The neighbours' accuracy over the share of the compute that is done."""
    for each in took:
        for name, curve in each.curves.items():
            if KNN in name:
                axis.plot(*zip(*curve, strict=True), marker=".", label=short(each.name))
    axis.set(xlabel="share of the training", ylabel="top-1 of nearest neighbours")
    axis.set(title="frozen features while pretraining")
