"""Members of a tar put together to samples: an image, what is said of it, and why the rest is left.

webdataset's rule: the key is the name up to the first dot of its last part, and consecutive
members of one key are a sample. It makes one sample of `img.v1.jpg`, `img.v1.json`, `img.v2.jpg`,
`img.v2.json`, and of `Track 2.0 (x).jpg`, `Track 2.1.jpg`. So here the stem, the name up to its
ending (its *last* dot), tells members apart, and the key only who stands together:

1. Members of one stem belong together: `img.v2.jpg` and `img.v2.json`.
2. Within a run of one key an image and a text without partner belong together where the stem of
   one begins with the other's and a dot: `a.left.jpg`, `a.json`; `a.jpg`, `a.jpg.json`.
3. What is then left of a longer stem, `a.seg.png` beside `a.jpg` with `a.json`, is a second image
   of its key and refused; a second text, `a.boxes.json`, is left alone.

An ending that says nothing (`.img`, none) is no matter where the first bytes are an image's. For a
set of videos all of this is so of videos; pictures beside them are members of another ending. At
most RUN stems of one key are held at a time: of a longer run (`frame.000001.jpg`, ...) the first
ones go on their own.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from corpus.sources.entries import nobodys
from corpus.sources.formats import FRAMES, MEDIA, not_read
from corpus.sources.members import Member

TEXTS, DAMAGE = ("json", "txt", "cls"), "damage"
META = re.compile(r"__[^/]*__")  # webdataset's notes to itself
RUN, DOTS = 256, 16  # stems of one key; dots of a name, which may be a megabyte long
LONGEST, KINDS = 12, 50  # letters of an ending that is counted by its name; how many are


class Sample(NamedTuple):
    """The members of one image by kind: "image" and those of TEXTS."""

    stem: str
    files: dict[str, Member]
    others: list[str]  # endings of what nobody here reads
    told: list[str]  # kinds of what was refused already, DAMAGE among them

    @property
    def texts(self) -> bool:
        """Whether anything is said of an image."""
        return any(kind in self.files for kind in TEXTS)

    @property
    def excused(self) -> bool:
        """Whether it was said with a member why there is no image, or nothing said of it."""
        lost = "image" not in self.files and bool(self.told)
        return lost or any(kind in (*TEXTS, DAMAGE) for kind in self.told)


def _key(stem: str) -> str:
    """webdataset's: up to the first dot of the last part."""
    folder, slash, last = stem.rpartition("/")
    return folder + slash + last.split(".")[0]


class TarSamples:
    """Samples of one tar, and with a reason the members that cannot be used."""

    def __init__(self, start: Callable[[Member], bytes], left: Counter[str], media: str = "image"):
        """`start` gives the first bytes of a member; `left` counts what is left alone.

        media: what is looked for, of MEDIA.
        """
        self.start, self.left, self.media = start, left, MEDIA[media]
        self.key, self.run = "", {}
        self.last: Sample | None = None

    def of(self, members: Iterable[Member]) -> Iterator[Sample | Member]:
        """All of them, those of one run at a time."""
        for member in members:
            if not member.name:  # damage: part of the sample before it
                if self.last:
                    self.last.told.append(DAMAGE)
                yield member
            else:
                why = "" if member.reason else self._left_alone(member)
                if why:
                    self.left[why] += 1
                else:
                    yield from self._taken(member)
        yield from self._ended()

    def _left_alone(self, member: Member) -> str | None:
        if member.name.startswith("__") and META.fullmatch(member.name):
            return "webdataset's note"
        return nobodys(member.name)

    def _kind(self, member: Member) -> tuple[str, str, str]:
        """(stem, kind, ending): the kind "image", one of TEXTS, "foreign", or "" if unknown."""
        if member.name.lower().endswith(FRAMES) and FRAMES[1:] in self.media.endings:
            return member.name[: -len(FRAMES)], "image", FRAMES[1:]
        stem, dot, ending = member.name.rpartition(".")
        if not dot or "/" in ending:
            stem, ending = member.name, ""
        ending = ending.lower()
        if ending in self.media.endings:
            return stem, "image", ending
        if ending in TEXTS:
            return stem, ending, ending
        if ending in self.media.foreign:
            return stem, "foreign", ending
        found = None if member.reason else self.media.ending(self.start(member))
        if found is None:
            return stem, "", ending
        # `photo.v2` is all name, `photo.jpg_large` has an ending; to be sure neither is cut
        return member.name, "image" if found in self.media.endings else "foreign", found

    def _taken(self, member: Member) -> Iterator[Sample | Member]:
        stem, kind, ending = self._kind(member)
        if stem not in self.run:
            yield from self._room(_key(stem))
            self.run[stem] = Sample(stem, {}, [], [])
        self.last = sample = self.run[stem]
        foreign = not_read(ending) if kind == "foreign" else ""
        reason = member.reason or foreign
        if reason:
            sample.told.append(kind)
            yield member._replace(reason=reason)
        elif kind in sample.files:
            what = self.media.word if kind == "image" else f".{ending}"
            yield member._replace(reason=f"a second {what} of its key")
        elif kind:
            sample.files[kind] = member
        else:
            sample.others.append(ending)

    def _room(self, key: str) -> Iterator[Sample | Member]:
        """The samples that end before one of a key."""
        if self.run and key != self.key:
            yield from self._ended()
        elif len(self.run) >= RUN:
            yield from self._resolved(keep=self.last.stem)
        self.key = key

    def _ended(self) -> Iterator[Sample | Member]:
        yield from self._resolved(keep=None)
        self.last = None

    def _resolved(self, keep: str | None) -> Iterator[Sample | Member]:
        """The run's samples, all but one that may go on."""
        kept = self.run.pop(keep) if keep is not None else None
        run, self.run = self.run, {} if kept is None else {kept.stem: kept}
        for sample in list(run.values()) if len(run) > 1 else ():
            _join(sample, run)
        for sample in run.values():
            yield from self._settled(sample, run)

    def _settled(self, sample: Sample, run: dict[str, Sample]) -> Iterator[Sample | Member]:
        shorter = _shorter(sample.stem, run)
        taken = shorter is not None and ("image" in shorter.files or bool(shorter.told))
        if sample.files.keys() == {"image"} and taken:
            yield sample.files["image"]._replace(reason=f"a second {self.media.word} of its key")
        elif taken and not sample.files:
            self._count(sample.others)
        elif taken and "image" not in sample.files:
            self._count([*sample.files, *sample.others])
        elif sample.files or sample.others:
            if sample.files:
                self._count(sample.others)
            yield sample

    def _count(self, endings: Iterable[str]) -> None:
        for ending in endings:
            what = f"member .{ending}"
            many = len(ending) > LONGEST or (len(self.left) >= KINDS and what not in self.left)
            self.left["member of another ending" if many else what] += 1


def _shorter(stem: str, run: dict[str, Sample]) -> Sample | None:
    """The sample of the longest stem that this one goes on from with a dot."""
    if len(run) == 1:
        return None
    folder, slash, last = stem.rpartition("/")
    parts = last.split(".")
    for count in range(len(parts) - 1, max(0, len(parts) - 1 - DOTS), -1):
        found = run.get(folder + slash + ".".join(parts[:count]))
        if found:
            return found
    return None


def _join(sample: Sample, run: dict[str, Sample]) -> None:
    """Gives an image without text, or a text without one, to its partner of a shorter stem."""
    shorter = _shorter(sample.stem, run)
    if shorter is None:
        return
    if sample.told and not sample.files and "image" not in shorter.files:
        shorter.told.extend(sample.told)  # its image was refused
    elif sample.files.keys() == {"image"} and shorter.texts and "image" not in shorter.files:
        shorter.files["image"] = sample.files.pop("image")
    elif sample.texts and "image" not in sample.files and shorter.files.keys() == {"image"}:
        for kind in sample.files.keys() & {*TEXTS}:
            shorter.files[kind] = sample.files.pop(kind)
