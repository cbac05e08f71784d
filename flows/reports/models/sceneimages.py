"""Test images with what is true and what was found, side by side: of a network that finds objects,
and of one that tells the class of each pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corpus.media.images import BadImage, checked_image
from corpus.media.runs import decoded
from corpus.pages.markup import Markup, el, join, tag
from corpus.pages.overlays import boxed, colour_of, overlaid, tinted

RIGHT, WRONG, FREE = (0, 114, 178), (213, 94, 0), (110, 110, 110)
DASHED, DOTTED = "5 3", "1.5 2.5"
UNKNOWN = 255
GREY = 0.35  # of an image, how much of it is left below what is wrong in it
Entry = Mapping[str, Any]


def examples(
    entries: Sequence[Entry], kind: str, names: Sequence[str], pictures: Mapping[str, bytes]
) -> list[Markup]:
    """A row for each image: its rank and number, and the panes."""
    drawn = []
    for entry in entries:
        pixels = pixels_of(pictures.get(entry["id"]), entry)
        panes = _objects(entry, names, pixels) if kind == "objects" else _maps(entry, names, pixels)
        figures = [el("figure", pane, el("figcaption", said)) for said, pane in panes]
        head = [el("b", entry["rank"]), f" {entry['quality']:.0f} %, ", tag(entry["id"], 60)]
        drawn.append(el("div", el("p", *head), el("div", *figures, class_="panes")))
    return [el("div", *drawn, class_="scenes" if kind == "objects" else "scenes wide")]


def pixels_of(data: bytes | None, entry: Entry) -> np.ndarray:
    """The image, uint8 (h, w, 3); white of the size of its masks or boxes where there is none."""
    if data is not None:
        try:
            return checked_image(data).pixels
        except BadImage:
            pass
    both = [*entry["true"], *entry["found"]]
    sizes = [each["mask"]["size"] for each in both if "mask" in each]
    corners = np.array([each["box"][2:] for each in both if "box" in each]).reshape(-1, 2)
    width, height = corners.max(0, initial=63).astype(int) + 1
    return np.full((*(sizes[0] if sizes else (height, width)), 3), 255, np.uint8)


def mask_of(entry: Entry) -> np.ndarray:
    """bool (h, w)."""
    height, width = entry["mask"]["size"]
    return decoded(entry["mask"]["counts"].encode(), height, width)


def _objects(entry: Entry, names: Sequence[str], pixels: np.ndarray) -> list[tuple[Any, Markup]]:
    true = [(each, *_true_style(each)) for each in entry["true"]]
    found = [(each, *_found_style(each)) for each in entry["found"]]
    missed = sum(each["missed"] for each in entry["true"])
    wrong = sum(each["kind"] not in ("found", "ignored") for each in entry["found"])
    captions = (
        f"true: {len(true)} objects, {missed} missed",
        f"found: {len(found)}, {wrong} of them wrong",
    )
    panes = []
    for caption, some in zip(captions, (true, found), strict=True):
        masks = [(mask_of(each), colour) for each, colour, _, _ in some if "mask" in each]
        shapes: list[Markup] = []
        for each, colour, dashes, told in some:
            words = f"{names[each['label']]} {told}".strip()
            if "box" in each:
                shapes += boxed(each["box"], colour, words, pixels.shape[:2], dashes)
        panes.append((caption, overlaid(tinted(pixels, masks), *shapes)))
    return panes


def _true_style(each: Entry) -> tuple[tuple[int, int, int], str, str]:
    """(colour, dashes, words) of an object."""
    if each["free"]:
        return FREE, DOTTED, "(ignored)"
    return (WRONG, DASHED, "missed") if each["missed"] else (RIGHT, "", "")


def _found_style(each: Entry) -> tuple[tuple[int, int, int], str, str]:
    """Likewise of a detection."""
    score = f"{each['score']:.2f}"
    if each["kind"] == "found":
        return RIGHT, "", score
    if each["kind"] == "ignored":
        return FREE, DOTTED, f"{score} (ignored)"
    return WRONG, DASHED, f"{score} {each['kind']}"


def _maps(entry: Entry, names: Sequence[str], pixels: np.ndarray) -> list[tuple[Any, Markup]]:
    sides = pixels.shape[:2]
    true, found = (_classes(entry[side], sides) for side in ("true", "found"))
    panes: list[tuple[Any, Markup]] = [("image", overlaid(pixels))]
    for said, side, map_ in (("true", "true", true), ("found", "found", found)):
        shown = _coloured(entry[side], pixels)
        panes.append((join([said, " ", _listed(map_, names)]), overlaid(shown)))
    wrong = (true != found) & (true != UNKNOWN)
    share = wrong.sum() / max(1, (true != UNKNOWN).sum())
    dark = (GREY * pixels.mean(2, keepdims=True) + (1 - GREY) * 255).astype(np.uint8)
    over = tinted(np.broadcast_to(dark, pixels.shape), [(wrong, WRONG)])
    panes.append((f"wrong: {share:.0%} of the pixels", overlaid(over)))
    return panes


def _classes(segments: Sequence[Entry], sides: tuple[int, int]) -> np.ndarray:
    """The class of each pixel, int64 (h, w), UNKNOWN where there is none."""
    map_ = np.full(sides, UNKNOWN)
    for each in segments:
        mask = mask_of(each)
        if mask.shape == tuple(sides):
            map_[mask] = each["label"]
    return map_


def _coloured(segments: Sequence[Entry], pixels: np.ndarray) -> np.ndarray:
    """The image with its segments: a colour for each class, white lines between them."""
    masks = [(mask_of(each), colour_of(each["label"])) for each in segments]
    shown = tinted(pixels, masks)
    numbers = np.zeros(pixels.shape[:2], int)
    for number, (mask, _) in enumerate(masks, 1):
        if mask.shape == numbers.shape:
            numbers[mask] = number
    shown[:, 1:][numbers[:, 1:] != numbers[:, :-1]] = 255
    shown[1:][numbers[1:] != numbers[:-1]] = 255
    return shown


def _listed(map_: np.ndarray, names: Sequence[str]) -> Markup:
    """The classes of a map in their colours, the largest first."""
    labels, counts = np.unique(map_[map_ != UNKNOWN], return_counts=True)
    parts: list[Any] = []
    for label in labels[np.argsort(-counts, kind="stable")][:6].tolist():
        style = f"color:rgb{colour_of(label)}"
        parts += [el("span", "\u25a0", style=style), " ", tag(names[label], 20), " "]
    return el("span", *parts)
