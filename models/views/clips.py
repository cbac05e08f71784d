"""Random views of clips of videos: cropped, flipped and recoloured, all frames of a view alike.

Feichtenhofer, Fan, Xiong, Girshick, He 2021, "A Large-Scale Study on Unsupervised Spatiotemporal
Representation Learning", arXiv 2104.14558, section 3. More are named in
models/blocks/augment/clips.py.
"""

from models.blocks.augment import clips

__all__ = ["Clips"]


class Clips(clips.Clips):
    """Clips of each video, and crops of each clip.

    The paper's rho clips of a video are `clips: 4`, its control of two views of one clip
    `clips: 1, views: 2`. Its distortions are `scale: [0.2, 1.0]`, `jitter: [0.4, 0.4, 0.4, 0.1]`,
    `grey: 0.2` and `blur: 0.5`; supervised training has none but for crops and flips.

    frames: how many a clip has.
    every: steps of the data's frame rate from one of them to the next.
    clips: how many are read of a video.
    within: steps that their starts are apart at the most; null: anywhere in the video; 0: one clip
        that is repeated.
    place: random: where a clip starts; segments: one random frame of each of `frames` equal parts
        of the video, for which `every` does not count.
    views: crops of each clip.
    scale: range of a crop's share of the frame's area.
    ratio: range of its width over height.
    short: range of pixels that the short side is scaled to, of which a square of `size` is cropped,
        as [256, 320] for 224; null: crops by `scale` and `ratio`.
    flip: probability of a horizontal flip; 0 where left and right are different classes.
    jitter: largest changes of brightness, contrast, saturation and hue.
    jitter_share: share of the views that they are changed in.
    grey: share of the views without colour.
    blur: share of the blurred ones.
    sigma: range of the blur's standard deviation in pixels.
    size: side of a view in pixels; null: the short side of the videos as they are read.
    """
