"""The page of a registered model's versions: one HTML file that needs neither network nor script.

All text out of the registry is strangers': corpus.pages.markup escapes it.
"""

from collections.abc import Callable
from typing import Any

from corpus.pages.markup import Markup, el, join, short, table, tag
from corpus.pages.page import Section, sectioned
from flows.measuring.headline import USUAL
from flows.reports.versions import cautions, changes, pair
from flows.reports.versions import table as all_versions
from flows.reports.versions.findings import Findings, Version

PAIR: dict[str, Callable[[Findings], list[Markup]]] = {
    "Paired test": pair.paired,
    "By class": pair.by_class,
    "Confusions that changed": pair.confusions,
    "Images where they disagree": pair.disagreements,
    "Params": changes.params,
    "Data": changes.data,
    "Code": changes.code,
}
TRAIL = 200  # entries shown, the newest


def trail(findings: Findings) -> list[Markup]:
    """Who made which version champion, the newest first."""
    if not findings.trail:
        return [el("p", "No version was made champion yet, or before the registry kept a trail.")]
    head = ["when (UTC)", "from", "to", "how", "who", "reason"]
    rows = []
    for entry in list(findings.trail)[::-1][:TRAIL]:
        change = [tag(entry.before or "none", 20), tag(entry.after, 20)]
        who = [tag(entry.kind, 20), tag(entry.who, 60)]
        rows.append([tag(entry.when, 30), *change, *who, tag(entry.reason, 300)])
    return [table(head, rows)]


def _tile(version: Version) -> Markup:
    """A version's number, and its name in small."""
    return join(
        [
            f"version {version.number}",
            el("small", f"{version.headline.title} {all_versions.number(version, True)}"),
            el("small", tag(version.model, 40)),
        ]
    )


def headline(findings: Findings) -> dict[str, Any]:
    """Champion, challenger, how many versions, and the last change."""
    found: dict[str, Any] = {}
    for alias in all_versions.COLOURS:
        for version in findings.versions:
            if alias in version.aliases:
                found[alias] = _tile(version)
    found["versions"] = len(findings.versions) + findings.left_out
    if findings.trail:
        last = findings.trail[-1]
        who = el("small", tag(f"{last.kind}, {last.who}", 60))
        found["last change of the champion"] = join([tag(last.when[:10] or "unknown"), who])
    return found


def _noun(findings: Findings) -> str:
    """What the newest version is compared by, as it begins a title."""
    noun = (findings.versions[0].headline if findings.versions else USUAL).noun
    return noun[:1].upper() + noun[1:]


def page(findings: Findings) -> str:
    """The whole HTML document."""
    made: dict[Any, list[Markup]] = {
        "Versions": all_versions.section(findings),
        f"{_noun(findings)} against cost": all_versions.tradeoff(findings),
    }
    if findings.pair:
        one, other = findings.pair
        made[f"{one.title} and {other.title}"] = pair.numbers(findings)
        made |= {title: section(findings) for title, section in PAIR.items()}
    made["Trail of the champion"] = trail(findings)
    sections = [Section(tag(title, 100), parts) for title, parts in made.items()]
    name = el("b", tag(findings.name, 80))
    intro = el("p", "Registered model ", name, " of ", all_versions.address(findings.address))
    title = f"tagdag: versions of {short(findings.name, 60)}"
    told = cautions.all_of(findings)
    return sectioned(title, "Versions", headline(findings), sections, told, intro=[intro])
