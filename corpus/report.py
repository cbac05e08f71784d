"""What came out of the posts, for people: a table of tag counts and the Zipf plot."""

from pathlib import Path

import numpy as np

from corpus.vocabulary import Vocabulary


def zipf_exponent(counts: list[int]) -> float:
    """s of count ~ rank^-s, by least squares on log rank and log count; 0 for fewer than two tags."""
    if len(counts) < 2:
        return 0.0
    ranked = np.log(np.sort(np.asarray(counts, np.float64))[::-1])
    return float(-np.polyfit(np.log(np.arange(1, len(counts) + 1)), ranked, 1)[0])


def zipf_plot(counts: list[int], path: Path) -> None:
    """Posts per hashtag over rank, both axes logarithmic, as PNG (the same bytes for the same counts)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="rank of hashtag", ylabel="posts", xscale="log", yscale="log")
    rank = np.arange(1, len(counts) + 1)
    axes.plot(rank, sorted(counts, reverse=True), ".", label="vocabulary")
    s = zipf_exponent(counts)
    axes.plot(rank, np.exp(np.log(counts).mean() + s * np.log(rank).mean()) * rank**-s, label=f"rank$^{{-{s:.2f}}}$")
    axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def write_report(path: Path, vocabulary: Vocabulary, summary: dict, top: int = 30) -> None:
    """Markdown: the summary, the images per split, the most frequent hashtags with the forms merged into each."""
    forms = merged_forms(vocabulary)
    numbers = [[name.replace("_", " "), value] for name, value in summary.items() if not isinstance(value, dict)]
    splits = [[store, split, n] for store, counts in summary["images"].items() for split, n in counts.items()]
    tags = list(zip(vocabulary.names, vocabulary.counts, strict=True))[:top]
    parts = [
        "# Corpus",
        _table(["", ""], numbers),
        "## Images",
        _table(["store", "split", "images"], splits),
        f"## The {len(tags)} most frequent hashtags",
        _table(["hashtag", "posts", "merged forms"], [[name, n, " ".join(forms[name])] for name, n in tags]),
        "![posts per hashtag over rank](zipf.png)",
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def merged_forms(vocabulary: Vocabulary) -> dict[str, list[str]]:
    """The typed forms that stand for each name besides the name itself, sorted."""
    forms: dict[str, list[str]] = {name: [] for name in vocabulary.names}
    for form, names in sorted(vocabulary.canonical.items()):
        for name in names:
            if form != name:
                forms[name].append(form)
    return forms
