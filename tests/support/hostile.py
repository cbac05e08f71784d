"""Requests that a served model must refuse, each with the status and words of its answer."""

import json
import struct
import zlib
from io import BytesIO

from PIL import Image

from flows.serving.requests import MOST_IMAGES
from tests.support.served import base64_of, png

GOOD = base64_of(png())


def bomb(width: int, height: int) -> str:
    """A PNG whose header promises more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return base64_of(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))))


def grey_bomb() -> str:
    """A real PNG of 10,000 x 10,000 pixels in 12 kB."""
    out = BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG")
    return base64_of(out.getvalue())


def inputs(*images) -> str:
    return json.dumps({"inputs": list(images)})


HOSTILE = {
    "bomb": (inputs(bomb(60_000, 60_000)), 400, "too many pixels"),
    "real bomb": (inputs(grey_bomb()), 400, "too many pixels"),
    "no image": (inputs(base64_of(b"hello")), 400, "unknown format"),
    "path": (inputs("/etc/passwd"), 400, "never the name of a file"),
    "file": (inputs("file:///etc/passwd"), 400, "never the name of a file"),
    "http": (inputs("http://169.254.169.254/latest"), 400, "never the name of a file"),
    "data": (inputs("data:image/png;base64," + GOOD), 400, "no base64"),
    "nothing": ("", 400, "no"),
    "empty": (inputs(), 400, "found 0 images"),
    "many": (inputs(*[GOOD] * (MOST_IMAGES + 1)), 400, "allowed are 1 to"),
    "broken": ('{"inputs": ["', 400, "not valid JSON"),
    "not utf-8": (b'{"inputs": ["\xff"]}', 400, "not valid JSON"),
    "deep": ('{"inputs": ' + "[" * 50_000, 400, "nested deeper"),
    "deeper": ('{"inputs": ' + "[" * 500_000, 400, "too much that is no text"),
    "list": (json.dumps([GOOD]), 400, "no JSON object"),
    "nan": ('{"inputs": [NaN]}', 400, "not valid JSON"),
    "digits": ('{"inputs": [' + "9" * 5000 + "]}", 400, "not valid JSON"),
    "null": ('{"inputs": [null]}', 400, "found NoneType, expected base64"),
    "numbers": (json.dumps({"inputs": [[[0] * 300] * 300]}), 400, "too much that is no text"),
    "object": (json.dumps({"inputs": [{"path": GOOD}]}), 400, "found dict, expected base64"),
    "two forms": (json.dumps({"inputs": [GOOD], "instances": [GOOD]}), 400, "give one of"),
    "unknown": (json.dumps({"inputs": [GOOD], "signature_name": "x"}), 400, "nothing else"),
    "column": (json.dumps({"dataframe_split": {"columns": ["x"], "data": [[GOOD]]}}), 400, "are ["),
    "paths": (json.dumps({"inputs": [GOOD], "params": {"paths": True}}), 400, "top, a whole"),
    "top": (json.dumps({"inputs": [GOOD], "params": {"top": True}}), 400, "top, a whole"),
    "top 0": (json.dumps({"inputs": [GOOD], "params": {"top": -1}}), 400, "top, a whole"),
    "surrogate": ('{"inputs": ["\\ud800"]}', 400, "no base64"),
    "large": (inputs("A" * (33 << 20)), 413, "at most 33,554,432 bytes"),
}
