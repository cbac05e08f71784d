"""The whole DAG on photographs: Tiny ImageNet posted under WordNet hashtags, then CIFAR-10 with
few labels.

    make repro RECIPE=photographs        (or: python -m benchmarks.photographs [--quick] [-S
    finetune.seeds=[0]])

Hashtags are WordNet lemmas, drawn by corpus/sources/labelled.py and merged by synset, as in Mahajan
et al. 2018 (arXiv 1805.00932), section 2.1. The DAG runs in a clone of this repository's HEAD, so
that data/ and params.yaml stay as they are; run again, it goes on there.
"""

from typing import Any

from benchmarks.overlays import Made, Study, head, main
from flows.measuring.summary import head_name
from flows.reports.models.words import gain_line

QUICK = (
    *(
        "posts.per_class=30",
        "posts.tags.users=300",
        "labels.train=60",
        "labels.val=20",
        "labels.test=20",
    ),
    *("corpus.min_posts=10", "search.trials=2", "pretrain.*.epochs=1"),
    *("pretrain.*.recipe.warmup=0", "tasks.*.epochs=2", "tasks.*.seeds=[0, 1]"),
    "evaluate.runs=5",
)


def table(records: list[dict[str, Any]], gains: list[dict[str, Any]]) -> list[str]:
    """Markdown: accuracy per candidate, init, head and number of labels.

    What pretraining gave, with intervals.
    """
    names = ("candidate", "init", "head", "labels per class")
    names += ("top-1 % (95 %)", "top-5 %", "top-1 % per seed")
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for r in records:
        spread = f" ({r['low']:.1f} to {r['high']:.1f})"
        cells = [str(r[key]) for key in ("candidate", "init")] + [head_name(r), str(r["labels"])]
        cells += [
            f"{r['value']:.1f}{spread}",
            f"{r['values']['top5']:.1f}",
            ", ".join(f"{value:.1f}" for value in r["by_seed"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", *(f"- {gain_line(gain)}" for gain in gains)]


def result(made: Made) -> str:
    """The result as Markdown: how it came about, what came out."""
    records = made.evaluated("records")
    lines = head("Pretraining on hashtags, on photographs", made, records[0]["device"])
    return "\n".join([*lines, "", *table(records, made.evaluated("gains"))]) + "\n"


STUDY = Study("photographs", __doc__.split("\n\n")[0], QUICK, result)

if __name__ == "__main__":
    main(STUDY)
