"""Random crops of images, recoloured, and small ones beside them.

Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
Representations", arXiv 2002.05709, section 3. More are named in models/blocks/augment/crops.py.
"""

from models.blocks.augment import crops

__all__ = ["Crops"]


class Crops(crops.Crops):
    """Several crops of each image, and small ones beside them.

    Authors leave blur out for images of 32 pixels (SimCLR, appendix on CIFAR-10): `blur: [0]`.

    views: how many crops of `scale` there are.
    scale: range of a crop's share of the image area.
    ratio: range of its width over height.
    flip: probability of a horizontal flip.
    jitter: largest changes of brightness, contrast, saturation and hue.
    jitter_share: share of the crops that they are changed in.
    grey: share of the crops without colour.
    blur: share of the blurred ones among the first crops, the second ones and so on; the last is
        of all that follow, the small ones too.
    sigma: range of the blur's standard deviation in pixels.
    solarise: share of the crops whose bright half is inverted, likewise.
    size: side of a crop in pixels; null: that of the image.
    small: how many small crops there are.
    small_scale: range of their share of the image area.
    small_size: their side in pixels; null: 3/7 of `size`, as 96 of 224, and 8 at least.
    """
