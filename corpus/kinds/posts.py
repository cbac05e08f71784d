"""Posts: images under the hashtags that their users typed, to pretrain on."""

from corpus.records.posted import MAX_TAGS, Post, PostKind

__all__ = ["MAX_TAGS", "Post", "Posts"]


class Posts(PostKind):
    """Posts of the pretraining: hashtags as typed, user and time where known."""

    columns = {"image": {"read": "jpeg"}, "hashtags": {"read": "classes", "of": "targets"}}
