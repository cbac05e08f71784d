"""Section: where the numbers come from, and where more is to be seen."""

from corpus.pages.markup import Markup, el, flow_style, short, table, tag
from flows.reports.models.findings import Findings

UIS = (
    ("MLflow", "make mlflow", "http://127.0.0.1:5000"),
    ("Prefect", "make prefect", "http://127.0.0.1:4200"),
)
REPORTS = {
    "posts and hashtags": "out/corpus/report.html",
    "the search": "out/search/report.html",
}
WEB = ("http://", "https://")


def _address(url: str) -> Markup:
    """A link, of web addresses only; `rel` keeps the page's own from the server."""
    if not url.startswith(WEB):
        return el("code", short(url, 400))
    return el("a", short(url, 120), href=url, rel="noreferrer noopener")


def section(findings: Findings) -> list[Markup]:
    """Data version, commit and params; the settings; the pages of MLflow and Prefect."""
    origin = []
    for key, value in findings.origin.items():
        origin.append([tag(key.removeprefix("tagdag.")), el("code", short(value, 200))])
    settings = [
        el("li", el("b", name), " ", el("code", short(flow_style(section), 2000)))
        for name, section in findings.settings.items()
    ]
    pages = []
    for name, command, url in UIS:
        pages.append(el("li", f"{name}: ", el("code", command), ", then ", _address(url)))
    for title, file in REPORTS.items():
        pages.append(el("li", f"{title}: ", el("code", file)))
    for title, url in findings.links.items():
        pages.append(el("li", tag(title, 80), ": ", _address(url)))
    parts = [table(["", ""], origin)] if origin else []
    if settings:
        parts += [el("h3", "Sections of params.yaml"), el("ul", *settings)]
    return [*parts, el("h3", "More to see"), el("ul", *pages)]
