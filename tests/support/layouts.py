"""Folders, tables and tars as people have them, each with what a person would count in it."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, PngImagePlugin

Files = dict[str, Any]


class Link(str):
    """The target of a symbolic link."""


FIFO, FOLDER = object(), object()


class Layout(NamedTuple):
    """`rows`: what a person counts; `added` of them; why not the others."""

    kind: str
    rows: int
    added: int
    refused: dict[str, int]
    build: Callable[[Path], Any]
    source: str = ""  # below the folder
    images: str | None = None  # --images, below the folder
    left: int = 0  # what nobody means to post


@cache
def picture(seed: int, form: str = "JPEG") -> bytes:
    """A small image of noise, another one for each seed."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def wordy(seed: int) -> bytes:
    """A PNG with 2 MB of text."""
    out, about = io.BytesIO(), PngImagePlugin.PngInfo()
    about.add_text("workflow", "x" * (2 << 20), zip=True)
    Image.open(io.BytesIO(picture(seed, "PNG"))).save(out, "PNG", pnginfo=about)
    return out.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)


def images(*names: str, first: int = 0) -> Files:
    """An image under each name."""
    return {name: picture(first + i) for i, name in enumerate(names)}


def tree(root: Path, files: Files) -> None:
    """Makes them: bytes, text, links, FIFOs, folders; {} and [] as JSON."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is FOLDER:
            path.mkdir()
        elif data is FIFO:
            os.mkfifo(path)
        elif isinstance(data, Link):
            path.symlink_to(data.replace("ROOT", str(root)))
        else:
            path.write_bytes(packed(data))


def packed(data: Any) -> bytes:
    """A member's or file's bytes."""
    if isinstance(data, (dict, list)):
        data = json.dumps(data)
    return data.encode() if isinstance(data, str) else data


def files(these: Files) -> Callable[[Path], None]:
    """A layout of files."""
    return lambda root: tree(root, these)


def table(name: str, text: str, these: Files) -> Callable[[Path], None]:
    """A text table beside its images; ROOT in it is the folder."""

    def build(root: Path) -> None:
        tree(root, these)
        data = text.replace("ROOT", str(root)).encode()
        tree(root, {name: gzip.compress(data) if name.endswith(".gz") else data})

    return build


def parquet(columns: dict[str, Any], features: dict | None = None) -> bytes:
    """The bytes of a Parquet file, with Hugging Face's description of its columns."""
    made = pa.table(columns)
    if features:
        about = {"info": {"features": features}}
        made = made.replace_schema_metadata({"huggingface": json.dumps(about)})
    out = io.BytesIO()
    pq.write_table(made, out)
    return out.getvalue()


def tar(members: list[tuple[str, Any]]) -> bytes:
    """The bytes of a tar; a Link or FIFO is a member of that type."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, Link):
                info.type, info.linkname, data = tarfile.SYMTYPE, str(data), b""
            elif data is FIFO:
                info.type, data = tarfile.FIFOTYPE, b""
            data = packed(data)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pairs(*stems: str, ending: str = "jpg", first: int = 0) -> list[tuple[str, Any]]:
    """An image and its JSON under each stem."""
    members: list[tuple[str, Any]] = []
    for number, stem in enumerate(stems, first):
        members.append((f"{stem}.{ending}", picture(number)))
        members.append((f"{stem}.json", {"hashtags": ["sea"], "label": "sea"}))
    return members
