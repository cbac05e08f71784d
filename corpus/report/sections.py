"""The sections of the report: each makes its HTML from the findings, and nothing where there is
nothing to tell.
"""

from typing import Any

import numpy as np

from corpus.pages.charts import figure
from corpus.pages.markup import Markup, el, join, number, short, table, tag
from corpus.report.findings import Cooccurrence, Findings, Form, Step, npmi
from corpus.report.heatmap import heat_key, heat_map
from corpus.report.plots import charts

REASONS = 10  # of one step, the others are summed up
NAMES, RAREST, FORMS, LOST, PAIRS = 40, 15, 12, 40, 24  # rows and forms shown
TOGETHER = 5  # posts below which a pair is no evidence
Parts = list[Markup]


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "0.0%"


def funnels(findings: Findings) -> Parts:
    """Posts and hashtags from the import to the shards, with what was left out at each step."""
    parts = []
    for title, steps, what in (
        ("Posts", findings.post_steps, "imported rows"),
        ("Hashtags", findings.tag_steps, "uses"),
    ):
        if steps:
            first, last = steps[0].count, steps[-1].count
            read = (
                f"Of {first:,} {what}, {last:,} ({_share(last, first)}) reach training; orange is "
                "what left at a step."
            )
            parts.append(
                el("figure", el("h3", title), _funnel(steps, findings), el("figcaption", read))
            )
    return [el("div", *parts, class_="pair")] if parts else []


def _funnel(steps: list[Step], findings: Findings) -> Markup:
    first, rows = steps[0].count, []
    for step in steps:
        ordered = sorted(step.dropped.items(), key=lambda item: (-item[1], item[0]))
        shown, others = ordered[:REASONS], ordered[REASONS:]
        if others:
            shown = [*shown, (f"{len(others):,} other reasons", sum(count for _, count in others))]
        for reason, count in shown:
            if count:
                rows += [
                    el("div", "- ", explained(reason, findings), class_="out"),
                    _bar(count, first, "bar lost"),
                ]
                rows.append(el("div", f"{count:,} · {_share(count, first)}", class_="soft"))
        rows += [el("div", el("b", step.name)), _bar(step.count, first, "bar")]
        rows.append(el("div", f"{step.count:,} · {_share(step.count, first)}"))
    return el("div", *rows, class_="funnel")


def _bar(part: int, whole: int, kind: str) -> Markup:
    return el("div", el("i", style=f"width:{100 * part / max(whole, 1):.2f}%"), class_=kind)


def explained(words: str, findings: Findings) -> Markup:
    """The words, as a link where a rule of that title is explained."""
    if words not in findings.rules:
        return tag(words, 120)
    return el("a", tag(words, 120), href=f"#rule-{list(findings.rules).index(words)}")


def vocabulary(findings: Findings) -> Parts:
    """How often the names are used, what was merged into them, what is not among them."""
    drawn, count = charts(findings), len(findings.names)
    shown = el(
        "div",
        *(figure(drawn[name]) for name in ("zipf", "resampling") if name in drawn),
        class_="pair",
    )
    if not count:
        return [el("p", "No hashtag is in the vocabulary."), *_lost(findings)]
    words = "Which typed forms each name stands for, and the rule that says so; all names are in "
    parts = [
        el(
            "h3",
            f"The {min(count, NAMES):,} most frequent of {count:,} names"
            if count > 1
            else "The one name",
        ),
        el("p", words, el("code", "vocabulary.csv"), "."),
        _names(findings, range(min(count, NAMES))),
    ]
    if count > NAMES:
        rarest = _names(findings, range(max(NAMES, count - RAREST), count))
        parts.append(el("details", el("summary", "The rarest names"), rarest))
    return [shown, el("div", el("div", *parts), el("div", *_lost(findings)), class_="pair")]


def _names(findings: Findings, rows: range) -> Markup:
    senses = [findings.synsets.get(findings.names[i], "") for i in rows]
    header = ["rank", "name", "posts", "merged forms"] + ["synset"] * any(senses)

    def row(i: int, sense: str) -> list[Any]:
        name = findings.names[i]
        cells = [
            f"{i + 1:,}",
            tag(name),
            f"{int(findings.counts[i]):,}",
            _forms(findings.forms.get(name, []), findings),
        ]
        return cells + [el("span", sense, class_="soft")] * any(senses)

    return table(header, map(row, rows, senses), numeric=(0, 2))


def _forms(forms: list[Form], findings: Findings) -> Markup:
    """The forms, grouped by rule."""
    by_rule: dict[str, list[str]] = {}
    for form, rule in forms[:FORMS]:
        by_rule.setdefault(rule, []).append(form)
    groups: list[Any] = []
    for rule, members in sorted(by_rule.items()):
        label = [el("small", explained(rule, findings)), " "] if rule else []
        groups += [*label, *(join([tag(member), " "]) for member in members)]
    if len(forms) > FORMS:
        groups.append(el("small", f"and {len(forms) - FORMS:,} more"))
    return el("div", *groups, class_="tags")


def _lost(findings: Findings) -> Parts:
    if not findings.lost:
        return []
    shown = findings.lost[:LOST]
    rows = [[tag(tag_), f"{posts:,}", explained(reason, findings)] for tag_, posts, reason in shown]
    title = el("h3", f"The {len(rows)} most frequent hashtags outside the vocabulary")
    return [
        title,
        el("p", "What training does not see, and why."),
        table(["hashtag", "posts", "reason"], rows, (1,)),
    ]


def posts(findings: Findings) -> Parts:
    """How many names posts keep, how many posts users wrote, where the images lie."""
    drawn = charts(findings)
    found = [figure(drawn[name]) for name in ("tags_per_post", "users") if name in drawn]
    parts = [el("div", *found, class_="pair")] if found else []
    if not findings.users:
        parts.append(
            el("p", "The posts name no users: nobody's share of them is known.", class_="soft")
        )
    rows = []
    splits = sorted(
        {split for counts in findings.images.values() for split in counts}, key=_split_order
    )
    for store, counts in findings.images.items():
        rows.append(
            [
                tag(store),
                *(number(counts.get(split, 0)) for split in splits),
                number(sum(counts.values())),
            ]
        )
    if rows:
        parts += [
            el("h3", "Images by store and split"),
            table(["store", *splits, "all"], rows, range(1, len(splits) + 2)),
        ]
    if findings.notes:
        notes = el("ul", *(el("li", tag(note, 400)) for note in findings.notes))
        parts += [el("h3", "What to know of the labelled sets"), notes]
    return parts


def _split_order(split: str) -> tuple[int, str]:
    known = ("train", "val", "test")
    return known.index(split) if split in known else len(known), split


def cooccurrence(findings: Findings) -> Parts:
    """The heat map, and the pairs that go together most."""
    pairs = findings.cooccurrence
    if pairs is None or len(pairs.names) < 2:
        return []
    caption = (
        f"Normalised pointwise mutual information of the {len(pairs.names)} most frequent names, "
        "similar names side by side: blue blocks along the diagonal are themes, orange pairs shun "
        "each other, blank ones never meet."
    )
    picture = el(
        "figure",
        heat_key(),
        el("div", heat_map(pairs), class_="scroll heat"),
        el("figcaption", caption),
    )
    rows = _top_pairs(pairs)
    if not rows:
        return [picture]
    header = ["a", "b", "posts", "NPMI", "P(b | a)", "P(a | b)"]
    side = el(
        "div",
        el("h3", f"Strongest pairs of {TOGETHER} or more posts"),
        table(header, rows, range(2, 6)),
    )
    return [el("div", picture, side, class_="beside")]


def _top_pairs(pairs: Cooccurrence) -> list[list[Any]]:
    value, counts = npmi(pairs), pairs.counts
    first, second = np.triu_indices(len(pairs.names), 1)
    found = [
        (i, j)
        for i, j in zip(first.tolist(), second.tolist(), strict=True)
        if counts[i, j] >= TOGETHER and value[i, j] > 0
    ]
    found = sorted(found, key=lambda pair: (-round(value[pair], 9), pair))[:PAIRS]
    rows = []
    for i, j in found:
        names = tag(pairs.names[i]), tag(pairs.names[j])
        given = _share(counts[i, j], counts[i, i]), _share(counts[i, j], counts[j, j])
        rows.append([*names, number(int(counts[i, j])), f"{value[i, j]:.2f}", *given])
    return rows


def rules(findings: Findings) -> Parts:
    """The settings of this corpus, and what each rule does."""
    parts = []
    if findings.settings:
        rows = [
            [explained(name, findings), el("code", short(str(value), 400))]
            for name, value in findings.settings.items()
        ]
        parts += [el("h3", "Settings"), table(["setting", "value"], rows)]
    if findings.merged:
        rows = []
        for rule, one in findings.merged.items():
            rows.append([explained(rule, findings), number(one.forms), number(one.uses)])
        words = (
            "Distinct hashtags that each rule has merged or dropped, and how many posts had them."
        )
        parts += [el("h3", "What the rules did"), el("p", words)]
        parts.append(table(["rule", "hashtags", "posts"], rows, (1, 2)))
    for i, (title, paragraph) in enumerate(findings.rules.items()):
        parts.append(el("div", el("h3", title), el("p", paragraph), id=f"rule-{i}"))
    return parts
