"""What posts of images and of videos share: hashtags as typed, user and time where known.

Which hashtags become classes the stage corpus decides, of all posts together (corpus/tags).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from corpus.records.cells import caption_tags, cell_tags, cell_text
from corpus.records.kind import BaseKind
from corpus.records.record import Record

CAPTIONS = ("caption", "text")  # columns of a table without hashtags: their words after '#' are
MAX_TAGS = 1000  # of one post; Instagram allows 30


def _iso(time: str) -> str:
    datetime.fromisoformat(time)
    return time


class Post(Record):
    """One posted image or video with the hashtags its user typed."""

    hashtags: list[str]
    user: str | None = None
    time: Annotated[str, AfterValidator(_iso)] | None = None


class PostKind(BaseKind):
    """A kind of posts, without `columns`."""

    record = Post
    posted = True
    example: ClassVar[Mapping[str, Any]] = {"hashtags": "#sea #dog", "user": "ann"}
    needed = (("hashtags", *CAPTIONS),)
    wanted = frozenset({"hashtags", "user", "time", *CAPTIONS})

    def described(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Where no hashtags are named, only words after '#' of a caption are."""
        captions = (raw.get(name) for name in CAPTIONS)
        tags = cell_tags(raw["hashtags"]) if "hashtags" in raw else caption_tags(captions)
        if not tags:
            raise ValueError("no hashtag")
        user, time = (cell_text(raw.get(name)) for name in ("user", "time"))
        return {"hashtags": tags, "user": user, "time": time}

    def checked(self, fields: dict[str, Any]) -> dict[str, Any]:
        count = len(fields.get("hashtags", ()))
        if count > MAX_TAGS:
            raise ValueError(f"too many hashtags: {count:,}, allowed are {MAX_TAGS:,}")
        return fields

    def words(self, record: Post) -> tuple[str, ...]:
        return tuple(record.hashtags)

    def shown(self, value: Any) -> str:
        return " ".join(f"#{tag}" for tag in value) if isinstance(value, list) else repr(value)
