"""What is wrong with a JPEG: too many scans, or what libjpeg-turbo complains of that matters."""

import re

import numpy as np

# each scan of a progressive JPEG is a pass over all pixels, even one of a few bytes
MAX_SCANS = 500


def scans(data: bytes) -> int:
    """Scans in a JPEG; 0 where it is too short for more than MAX_SCANS."""
    if len(data) < 10 * MAX_SCANS:
        return 0
    values = np.frombuffer(data, np.uint8)
    found = (values[:-1] == 0xFF) & (values[1:] == 0xDA)
    return np.count_nonzero(found)  # bytes.count is ten times slower


def jpeg_fault(complaint: str, data: bytes) -> str | None:
    """The kind of libjpeg-turbo's complaint about pixels.

    None where Pillow is lenient: headers, padding at the end.
    """
    if "remature end" in complaint:
        return "truncated"
    extra = re.search(r"(\d+) extraneous bytes before marker (\w+)", complaint)
    if extra:
        at_end = extra[2] == "0xd9"
        # some cameras pad with zeros
        padded = data[: data.rfind(b"\xff\xd9")].endswith(bytes(int(extra[1])))
        return "damaged" if at_end and not padded else None
    return "damaged" if complaint.startswith("Corrupt JPEG data") else None
