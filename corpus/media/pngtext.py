"""PNG files without their text and colour profile: Pillow refuses good pixels for the sake of
these.

It unpacks no text or profile beyond 1 MB (its bound against bombs) and takes a larger one for
damage; generators of images write their whole workflow there. Here they are left out unread.
"""

from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
DROPPED = (*TEXTS, b"iCCP")
# where Pillow looks for the orientation, beside eXIf
TURNING = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
FRAME = 12  # bytes of a chunk beside its data: length, type, checksum


def without_text(data: bytes) -> Iterator[bytes]:
    """The PNG without profile and text but those that may turn it, then without these too.

    Nothing where the bytes are no PNG, or have no such chunk: to read them again would be vain.
    """
    if not data.startswith(SIGNATURE):
        return
    for kept in (TURNING, ()):
        lean = _lean(data, kept)
        if len(lean) < len(data):
            yield lean


def _lean(data: bytes, kept: tuple[bytes, ...]) -> bytes:
    parts, at = [SIGNATURE], len(SIGNATURE)
    view = memoryview(data)
    while at + FRAME <= len(data):
        end = at + FRAME + int.from_bytes(view[at : at + 4])
        kind = data[at + 4 : at + 8]
        turns = kind in TEXTS and data.startswith(kept, at + 8)
        if kind not in DROPPED or turns:
            parts.append(view[at:end])
        at = end
    return b"".join([*parts, view[at:]])
