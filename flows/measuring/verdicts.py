"""What became of each detection and of each object of an image: found, missed, wrong in which way.

Bolya, Foley, Hays, Hoffman 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors",
arXiv 2008.08115, section 2.2, in the order of the authors' code. Objects are found as COCO has it
at an overlap of one half: by falling score, each of a class at most once. A detection that finds
none and lies on a crowd or a difficult object of its class is neither right nor wrong.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

FOUND, DUPLICATE, PLACED, CLASS, BOTH, BACKGROUND, IGNORED = range(7)
# in words, by the numbers above
KINDS = (
    "found",
    "duplicate",
    "poorly placed",
    "wrong class",
    "wrong class and place",
    "background",
    "ignored",
)
WRONG = (DUPLICATE, PLACED, CLASS, BOTH, BACKGROUND)
ENOUGH, SOME = 0.5, 0.1  # overlaps: an object is found, or is at least meant
NONE = -1


class Scene(NamedTuple):
    """One image: d detections by falling score, t objects, and how far they overlap.

    ious: float (d, t), of a crowd the share of the detection in it. labels int64 (d,), scores
    float (d,), true_labels int64 (t,). free: bool (t,), objects that are to be neither found nor
    missed.
    """

    ious: ndarray
    labels: ndarray
    scores: ndarray
    true_labels: ndarray
    free: ndarray


class Verdicts(NamedTuple):
    """kind: of each detection, a number of KINDS, int64 (d,). owner: the object that it finds,
    repeats, or is taken for, else NONE, int64 (d,). missed: bool (t,).
    """

    kind: ndarray
    owner: ndarray
    missed: ndarray


def judged(scene: Scene) -> Verdicts:
    """What became of all of them."""
    same = scene.labels[:, None] == scene.true_labels
    own = np.where(same & ~scene.free, scene.ious, 0)
    owner = _first_come(own)
    kind = np.full(len(owner), BACKGROUND)
    kind[owner != NONE] = FOUND
    missed = ~scene.free
    missed[owner[owner != NONE]] = False
    others = np.where(~same & ~scene.free, scene.ious, 0)
    if not scene.ious.size:
        return Verdicts(kind, owner, missed)
    highest, other = own.max(1), others.max(1)
    left = owner == NONE
    # from the last rule to the first, which so decides
    kind[left & (np.maximum(highest, other) > SOME)] = BOTH
    kind[left & (highest >= ENOUGH)] = DUPLICATE
    kind[left & (other >= ENOUGH)] = CLASS
    kind[left & (highest >= SOME) & (highest < ENOUGH)] = PLACED
    ignored = np.where(same & scene.free, scene.ious, 0).max(1) >= ENOUGH
    kind[left & ignored] = IGNORED
    owner[kind == DUPLICATE] = own.argmax(1)[kind == DUPLICATE]
    owner[kind == PLACED] = own.argmax(1)[kind == PLACED]
    owner[kind == CLASS] = others.argmax(1)[kind == CLASS]
    return Verdicts(kind, owner, missed)


def taken_for(scene: Scene, least: float) -> ndarray:
    """(true class, class found) of the objects of an image, int64 (k, 2): whatever the classes,
    by an overlap of one half.

    least: score of the detections that count. NONE in the place of a class: of an object that is
    missed, or of a detection that is at none.
    """
    sure = scene.scores >= least
    ious, labels = scene.ious[sure], scene.labels[sure]
    owner = _first_come(np.where(scene.free, 0, ious))
    at = owner != NONE
    free = np.where(scene.free, ious, 0).max(1, initial=0) >= ENOUGH
    alone = labels[~at & ~free]
    missed = ~scene.free
    missed[owner[at]] = False
    true = scene.true_labels[missed]
    return np.concatenate(
        [
            np.stack([scene.true_labels[owner[at]], labels[at]], 1),
            np.stack([np.full(len(alone), NONE), alone], 1),
            np.stack([true, np.full(len(true), NONE)], 1),
        ]
    )


def _first_come(ious: ndarray) -> ndarray:
    """The object of each detection, int64 (d,): of those that are left the one that it overlaps
    most, and by one half at least; else NONE."""
    owner = np.full(len(ious), NONE)
    if not ious.size:
        return owner
    left = ious.copy()
    for row in np.flatnonzero(ious.max(1) >= ENOUGH).tolist():
        best = int(left[row].argmax())
        if left[row, best] >= ENOUGH:
            owner[row] = best
            left[:, best] = 0
    return owner
