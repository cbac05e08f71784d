"""How models, gains and choices are said: plain text for people, which HTML and Markdown escape."""

from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]
MODES = {"full": "fine-tuned", "linear": "linear probe", "knn": "nearest neighbours"}
INITS = {"pretrained": "pretrained on hashtags", "scratch": "not pretrained"}
SETTINGS = {"rate": "learning rate", "l2": "L2 penalty", "k": "k"}  # of finetune.grid
LISTED = 5  # names in one sentence


def mode(record: Record) -> str:
    """The way of fine-tuning: `linear probe`."""
    return MODES.get(record["mode"], str(record["mode"]))


def how(record: Record) -> str:
    """How a model was trained: `pretrained on hashtags, fine-tuned`."""
    if (record["init"], record["mode"]) == ("scratch", "full"):
        return "from scratch"
    return f"{INITS.get(record['init'], str(record['init']))}, {mode(record)}"


def model(record: Record) -> str:
    """A model without its target, size and labels: `winner, from scratch`."""
    return f"{record['candidate']}, {how(record)}"


def labels(count: Any) -> str:
    """`20 labels per class`, `all labels`."""
    return "all labels" if count == "all" else f"{count} labels per class"


def interval(low: float | None, high: float | None, sign: str = "") -> str:
    """The ends of an interval: `53.1 to 57.0`."""
    if low is None or high is None:
        return "no interval"
    return f"{low:{sign}.1f} to {high:{sign}.1f}"


def top1(record: Record) -> str:
    """`55.0 (53.1 to 57.0)`, in percent."""
    return f"{record['top1_mean']:.1f} ({interval(record['top1_low'], record['top1_high'])})"


def several(records: Sequence[Record], key: str) -> bool:
    """Whether records differ in something, which is then to be said of each."""
    return len({str(record[key]) for record in records}) > 1


def counted(number: int, one: str, many: str = "") -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int = LISTED, between: str = ", ") -> str:
    """`a, b, c and 4 more`."""
    shown = between.join(map(str, names[:most]))
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def gain_line(gain: Record) -> str:
    """One sentence: what hashtags gave."""
    ends = interval(gain["gain_low"], gain["gain_high"], "+")
    return (
        f"{gain['target']}: {gain['candidate']}, {mode(gain)}, {labels(gain['labels'])}, "
        f"{gain['size']} px: {gain['pretrained']:.1f} % pretrained on hashtags, "
        f"{gain['scratch']:.1f} % not pretrained: {gain['gain']:+.1f} points "
        f"(95 % interval {ends}; {counted(gain['seeds'], 'seed')})"
    )


def setting(key: str) -> str:
    """The name of a hyper-parameter."""
    return SETTINGS.get(key, str(key).replace("_", " "))


def values(score: Record) -> Record:
    """The hyper-parameters of a score, without what it scored."""
    return {key: value for key, value in score.items() if key not in ("top1", "diverged")}


def _ordered(scores: list[Record]) -> list[Record]:
    """By the values that were tried; as they are listed where these are no numbers."""
    try:
        return sorted(scores, key=lambda score: tuple(values(score).values()))
    except TypeError:
        return scores


def _scored(score: Record) -> str:
    return "diverged" if score.get("diverged") else f"{score['top1']:.1f}"


def _equal(chosen: Record, keys: list[str]) -> str:
    return ", ".join(f"{setting(key)} = {chosen[key]}" for key in keys)


def choice_line(record: Record) -> str | None:
    """One sentence: what was chosen, among which values; none where there was no choice."""
    if not record["scores"]:
        return None
    scores = _ordered(record["scores"])
    keys = list(values(scores[0]))
    tried = ", ".join(str(score[keys[0]]) for score in scores)
    if len(keys) > 1:
        tried = "; ".join(_equal(score, keys) for score in scores)
    told = ", ".join(map(_scored, scores))
    chosen = _equal(record["chosen"], list(values(record["chosen"])))
    best = max(score["top1"] for score in scores)
    tied = sum(score["top1"] == best for score in scores) > 1
    first = "; of equal ones the first that is listed" if tied else ""
    name = f"{model(record)}, {labels(record['labels'])}"
    where = f"on {counted(record['held_out'], 'held-out label')}"
    return f"{name}: {chosen} chosen among {tried} ({told} % {where}{first})"
