"""What a flow run shows on its page in Prefect: links, tables, texts, pictures.

Nothing without a server. One that is away costs a warning: what is shown here is in MLflow and in
out/ as well.
"""

import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.running.orchestrate import log, orchestrated

LARGEST = 300_000  # bytes of a picture: it goes into the server's data base


def run_page() -> str | None:
    """The address of the present flow run's page; None outside of one."""
    if not orchestrated():
        return None
    from prefect.runtime import flow_run

    base = os.environ["PREFECT_API_URL"].rstrip("/").removesuffix("/api")
    return f"{base}/runs/flow-run/{flow_run.id}" if flow_run.id else None


def _made(kind: str, key: str, **content: Any) -> None:
    if not orchestrated():
        return
    from prefect import artifacts

    create: Callable[..., Any] = getattr(artifacts, f"create_{kind}_artifact")
    try:
        create(key=key, **content)
    except Exception as error:
        told = str(error).partition("\n")[0][:200]
        log.warning("Prefect does not take the %s %s: %s", kind, key, told)


def link_artifact(key: str, url: str, text: str) -> None:
    """A link on the flow run's page."""
    _made("link", key, link=url, link_text=text)


def table_artifact(key: str, rows: list[dict[str, Any]], about: str) -> None:
    """A table; every row has the same keys, which head its columns."""
    _made("table", key, table=rows, description=about)


def text_artifact(key: str, markdown: str, about: str) -> None:
    """A text in Markdown."""
    _made("markdown", key, markdown=markdown, description=about)


def picture_artifact(key: str, file: Path, about: str) -> None:
    """A PNG of moderate size; a larger one is left out."""
    if file.is_file() and file.stat().st_size <= LARGEST:
        # the page shows addresses only, and a file has none that a browser may open
        url = f"data:image/png;base64,{b64encode(file.read_bytes()).decode()}"
        _made("image", key, image_url=url, description=about)
