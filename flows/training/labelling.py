"""What one network says of images, in a file, with how much of it is right where that is known."""

from pathlib import Path
from typing import Any

from engine.core.build import build, options
from engine.core.checkpoint import load_tensors
from engine.core.digest import digest
from engine.core.materialised import materialised
from engine.core.network import load_network, pixels_read
from engine.core.samples import Rows, open_split
from engine.inference.materialising import Keep
from engine.inference.materialising import materialise as write_columns
from flows.running import settings


def label(weights: Path, section: dict[str, Any], file: Path) -> int:
    """Write the columns of a network's answers; their number. A file that is there stays.

    section: {of, policy, keep}. ValueError with cause and fix for any that is wrong.
    """
    if not file.exists():
        folder = settings.OUT / "corpus" / section["of"]
        # at the pixels that the network was trained with, where those are not the stored ones
        size = load_tensors(weights)[1].get("tested")
        module = load_network(weights)[0]
        images = Rows(open_split(folder, "train"), pixels_read(module.reads), size=size)
        keep = Keep(**options(Keep, section["keep"], "materialise.keep"))
        policy = build("policies", section["policy"], where="materialise.policy")
        about = {"weights": digest(weights), "index": digest(folder / "index.parquet")}
        write_columns(module, images, policy, keep, file, about | section)
    return len(materialised(file)[0])
