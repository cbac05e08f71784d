"""Video posts: videos under the hashtags that their users typed, to pretrain on."""

from corpus.records.posted import PostKind

__all__ = ["VideoPosts"]


class VideoPosts(PostKind):
    """Posts of videos: hashtags as typed, user and time where known."""

    media = "video"
    columns = {
        "clip": {"read": "clip", "ends": "frame_ends"},
        "hashtags": {"read": "classes", "of": "targets"},
    }
