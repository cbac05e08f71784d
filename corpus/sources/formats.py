"""Which files are images, by ending and by first bytes."""

import re
from collections.abc import Callable
from typing import NamedTuple

from corpus.media.containers import container_of

_IMAGES = "jpg jpeg jpe jfif jfi jif pjpeg pjp png apng webp gif bmp dib tif tiff"
IMAGES = frozenset(_IMAGES.split())
# pictures all the same, but none that is read here (corpus/media/images.py)
_FOREIGN = """heic heif hif avif jxl jp2 j2k jpx svg svgz ico psd ai eps pdf raw dng cr2 cr3 nef arw
orf rw2 raf tga exr hdr ppm pgm pbm pnm mp4 mov m4v avi mkv webm"""
FOREIGN = frozenset(_FOREIGN.split())
# read by the kinds of videos
_VIDEOS = "mp4 m4v mov qt avi mkv webm gif flv f4v wmv asf mpg mpeg vob ts mts m2ts ogv 3gp 3g2"
VIDEOS = frozenset(_VIDEOS.split())
FRAMES = ".frames.tar"  # a folder of frames as one file
VIDEO_KINDS = "a video: import it with --kind clips (posts: --posts-kind video_posts)"
START = 32  # bytes that are enough to tell a format
_SIGNS = (
    (re.compile(rb"\xff\xd8\xff"), "jpg"),
    (re.compile(rb"\x89PNG\r\n"), "png"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
    (re.compile(rb"(II\*\0|MM\0\*)"), "tif"),
    (re.compile(rb"BM....\0\0\0\0", re.DOTALL), "bmp"),
    (re.compile(rb"....ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL), "heic"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "avif"),
    (re.compile(rb"(\xff\x0a|\0\0\0\x0cJXL )"), "jxl"),
    (re.compile(rb"\0\0\0\x0cjP  "), "jp2"),
)


def picture_ending(start: bytes) -> str | None:
    """The usual ending of the picture that begins with these bytes (START of them); else None."""
    return next((ending for sign, ending in _SIGNS if sign.match(start)), None)


def named_video(name: str) -> bool:
    """Whether a name has the ending of a video, or of a tar of frames."""
    lower = name.lower()
    return lower.rpartition(".")[2] in VIDEOS or lower.endswith(FRAMES)


def named_image(name: str) -> bool:
    """Whether a name has the ending of a picture, of a format that is read here or not."""
    ending = name.rpartition(".")[2].lower()
    return ending in IMAGES or ending in FOREIGN


def _video_ending(start: bytes) -> str | None:
    found = container_of(start)
    return found and found.ending


class Media(NamedTuple):
    """What a set stores, and by which endings and first bytes (LOOK of them) it is told in a tar.

    foreign: endings of what somebody took for it, and is not read. ending: of first bytes.
    """

    word: str
    endings: frozenset[str]
    foreign: frozenset[str]
    ending: Callable[[bytes], str | None]


MEDIA = {
    "image": Media("image", IMAGES, FOREIGN, picture_ending),
    # pictures beside a video are its thumbnails, and left alone
    "video": Media("video", VIDEOS | {FRAMES[1:]}, frozenset(), _video_ending),
}


def not_read(ending: str) -> str:
    """Why a picture of another format is refused."""
    fault = f"an image of a format that is not read (.{ending}): convert it to JPEG, PNG or WebP"
    return f"{fault}; {VIDEO_KINDS}" if ending in VIDEOS else fault
