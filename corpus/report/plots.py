"""The charts that a corpus has; as PNG files too, for MLflow: the same bytes for the same
findings.
"""

from pathlib import Path

import numpy as np

from corpus.pages.charts import Chart, Series, axes, brief
from corpus.pages.figures import new_figure, save_png
from corpus.pages.markup import short
from corpus.report.findings import Cooccurrence, Findings, npmi, seriation, thinned, zipf_fit

DRAWN = 250  # points of a curve
DPI = 120
LINES = {"dots": ".", "line": "-", "dash": "--"}  # styles of a series, as matplotlib writes them
# up to here (Latin, Greek, Cyrillic) matplotlib's own font has all letters, and no script needs
# shaping
LATIN = 0x0530


def charts(findings: Findings) -> dict[str, Chart]:
    """The charts by name: zipf, resampling, tags_per_post, users.

    One whose numbers are unknown is not there.
    """
    drawn = (_zipf(findings), _resampling(findings), _tags_per_post(findings), _users(findings))
    return {chart.name: chart for chart in drawn if chart}


def _zipf(findings: Findings) -> Chart | None:
    if not len(findings.counts):
        return None
    s, c = zipf_fit(findings.counts)
    rank, posts = thinned(findings.counts, DRAWN)
    series = [Series("names of the vocabulary", rank, posts, "dots")]
    if len(findings.counts) > 1:
        series.append(Series(f"fit: rank^-{s:.2f}", rank, c * rank**-s, "dash"))
    if findings.typed_counts is not None and len(findings.typed_counts):
        series.append(Series("hashtags as typed", *thinned(findings.typed_counts, DRAWN)))
    half = int(np.searchsorted(np.cumsum(findings.counts), findings.counts.sum() / 2)) + 1
    caption = (
        f"Posts per name fall as rank^-{s:.2f}; {half:,} of {len(findings.counts):,} names hold "
        "half of all uses."
    )
    return Chart("zipf", "rank of hashtag", "posts", series, caption)


def _resampling(findings: Findings) -> Chart | None:
    if not findings.resampled or not len(findings.counts):
        return None
    rare = -(-len(findings.counts) // 10)
    series = [Series(rule, *thinned(posts, DRAWN)) for rule, posts in findings.resampled.items()]
    shares = []
    for rule, posts in findings.resampled.items():
        shares.append(f"{rule} {posts[-rare:].sum() / max(posts.sum(), 1e-9):.1%}")
    caption = (
        f"Share of a training list that the rarest tenth of the names gets: {', '.join(shares)}."
    )
    return Chart("resampling", "rank of name", "posts per training list", series, caption)


def _tags_per_post(findings: Findings) -> Chart | None:
    posts = np.asarray(findings.tags_per_post)
    if not posts.sum():
        return None
    below = np.cumsum(posts) / posts.sum()
    # the few posts of very many tags would squeeze the rest
    end = int(np.searchsorted(below, 0.995)) + 1
    beyond = posts[end:].sum()
    more = f"; the {beyond:,} posts of more than {end - 1} are not drawn" if beyond else ""
    caption = (
        f"{posts[0] / posts.sum():.1%} of the posts keep no hashtag of the vocabulary; half of "
        f"them keep {int(np.searchsorted(below, 0.5))} or fewer{more}."
    )
    series = [Series("posts", np.arange(end), posts[:end], "bars")]
    xlabel = "names of the vocabulary in a post"
    return Chart("tags_per_post", xlabel, "posts", series, caption, log=False)


def _users(findings: Findings) -> Chart | None:
    if not findings.users:
        return None
    found = findings.users
    caption = f"The top 1 % of {found.number:,} users wrote {found.top_share:.1%} of the posts."
    series = [Series("posts", found.rank, found.posts)]
    return Chart("users", "rank of user", "posts", series, caption)


def write_plots(folder: Path, findings: Findings) -> list[Path]:
    """Writes <chart>.png of each chart and cooccurrence.png, as far as there are.

    Returns their paths.
    """
    paths = []
    for name, chart in charts(findings).items():
        paths.append(folder / f"{name}.png")
        _chart_png(chart, paths[-1])
    if findings.cooccurrence and len(findings.cooccurrence.names) > 1:
        paths.append(folder / "cooccurrence.png")
        _heat_map_png(findings.cooccurrence, paths[-1])
    return paths


def _chart_png(chart: Chart, path: Path) -> None:
    """Draws one chart with matplotlib."""
    figure = new_figure(6, 3.8)
    plot = figure.add_subplot()
    for i, series in enumerate(chart.series):
        style = {"label": series.label, "color": f"C{i}"}
        if series.style == "bars":
            plot.bar(series.x, series.y, width=0.84, **style)
        else:
            plot.plot(series.x, series.y, LINES[series.style], **style)
    scale = "log" if chart.log else "linear"
    x, y = axes(chart)
    plot.set(xlabel=chart.xlabel, ylabel=chart.ylabel, xscale=scale, yscale=scale)
    plot.set(xlim=(x.low, x.high), ylim=(y.low, y.high))
    plot.set_xticks(x.ticks(10), map(brief, x.ticks(10)))
    plot.set_yticks(y.ticks(), map(brief, y.ticks()))
    plot.minorticks_off()
    plot.grid(alpha=0.3)
    plot.set_axisbelow(True)
    if len(chart.series) > 1:
        plot.legend(fontsize=8)
    save_png(figure, path, DPI)


def _label(name: str, row: int) -> str:
    drawable = all(ord(letter) < LATIN and letter.isprintable() for letter in name)
    return short(name, 20) if drawable else f"#{row + 1}"


def _heat_map_png(pairs: Cooccurrence, path: Path) -> None:
    """Draws the co-occurrence; a name that matplotlib cannot write stands as #rank."""
    value = npmi(pairs)
    order = seriation(value)
    names = [_label(pairs.names[i], i) for i in order]
    figure = new_figure(4 + 0.16 * len(names), 3 + 0.16 * len(names))
    plot = figure.add_subplot()
    value = np.where(np.asarray(pairs.counts) > 0, value, np.nan)[np.ix_(order, order)]
    np.fill_diagonal(value, np.nan)
    picture = plot.imshow(value, cmap="RdBu", vmin=-1, vmax=1)
    plot.set_xticks(range(len(names)), names, rotation=90, fontsize=7, parse_math=False)
    plot.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    label = "normalised PMI (0: as by chance, blank: never together)"
    figure.colorbar(picture, label=label, shrink=0.7)
    save_png(figure, path, DPI)
