"""Images as people have them, of many sizes and formats, and networks to predict them with."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.core.network import network, save_network
from tests.support.networks import TINY

KINDS = ("JPEG", "PNG", "WEBP", "BMP")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file of that format."""
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


def photographs(count: int) -> dict[str, bytes]:
    """So many images of all formats and of other sizes than a network wants, by file name."""
    found = {}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        image = picture(20 + 13 * (number % 9), 30 + 7 * (number % 11), number)
        found[f"{number:03d}.{kind.lower()}"] = encoded(image, kind)
    return found


def tiny_weights(file: Path, objective: str, names: list[str], **about) -> Path:
    """A weight file of an untrained network, whose head tells images apart."""
    torch.manual_seed(0)
    sections = {"backbone": TINY, "objective": {"name": objective}, "head": {"name": "linear"}}
    module = network(**sections, classes=len(names))
    if objective in ("supervised", "hashtags"):
        torch.nn.init.normal_(module.head.fc.weight)
    save_network(file, module, sections, names, **about)
    return file
