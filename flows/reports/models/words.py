"""How models, gains and choices are said: plain text for people, which HTML and Markdown escape."""

from collections.abc import Sequence
from typing import Any

from flows.measuring.headline import USUAL, Headline, of_record
from flows.measuring.summary import SCRATCH, head_name, pretraining_name

Record = dict[str, Any]
# of heads: trained with the whole network, or fitted on its frozen features
HEADS = {"linear": "fine-tuned", "logistic": "linear probe", "knn": "nearest neighbours"}
INITS = {"hashtags": "pretrained on hashtags", SCRATCH: "not pretrained"}
SETTINGS = {"rate": "learning rate", "l2": "L2 penalty", "k": "k"}  # of finetune.grid
LISTED = 5  # names in one sentence


def head(record: Record) -> str:
    """The way of fine-tuning: `linear probe`."""
    name = head_name(record)
    return HEADS.get(name, f"head {name}")


def init(record: Record) -> str:
    """Where a network came from: `pretrained on hashtags`, `pretrained (rotation)`."""
    name = pretraining_name(record)
    return INITS.get(name, f"pretrained ({name})")


def how(record: Record) -> str:
    """How a model was trained: `pretrained on hashtags, fine-tuned`."""
    if (record["init"], head_name(record)) == (SCRATCH, "linear"):
        return "from scratch"
    return f"{init(record)}, {head(record)}"


def model(record: Record) -> str:
    """A model without its task, size and labels: `winner, from scratch`."""
    return f"{record['candidate']}, {how(record)}"


def labels(count: Any) -> str:
    """`20 labels per class`, `10 % of the labels`, `all labels`."""
    if isinstance(count, float):
        return f"{100 * count:.6g} % of the labels"
    return "all labels" if count == "all" else f"{count} labels per class"


def interval(low: float | None, high: float | None, sign: str = "") -> str:
    """The ends of an interval in percent: `53.1 to 57.0`."""
    return USUAL.interval(low, high, sign)


def told(record: Record) -> str:
    """`55.0 (53.1 to 57.0)`, in the unit of the headline."""
    return of_record(record).told(record["value"], record["low"], record["high"])


def ends(record: Record) -> tuple[float, float, float]:
    """(number, low end, high end) to be drawn: without an interval, both ends are the number."""
    value, low, high = (record[key] for key in ("value", "low", "high"))
    return (value, value, value) if low is None or high is None else (value, low, high)


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
    """One sentence: what pretraining gave."""
    headline = of_record(gain)
    ends = headline.interval(gain["gain_low"], gain["gain_high"], "+")
    return (
        f"{gain['task']}: {gain['candidate']}, {head(gain)}, {labels(gain['labels'])}, "
        f"{gain['size']} px: {headline.written(gain['value'])} {init(gain)}, "
        f"{headline.written(gain['scratch'])} not pretrained: {headline.difference(gain['gain'])} "
        f"(95 % interval {ends}; {counted(gain['seeds'], 'seed')})"
    )


def setting(key: str) -> str:
    """The name of a hyper-parameter."""
    return SETTINGS.get(key, str(key).replace("_", " "))


def values(score: Record) -> Record:
    """The hyper-parameters of a score, without what it scored."""
    return {key: value for key, value in score.items() if key not in ("score", "diverged")}


def _ordered(scores: list[Record]) -> list[Record]:
    """By the values that were tried; as they are listed where these are no numbers."""
    try:
        return sorted(scores, key=lambda score: tuple(values(score).values()))
    except TypeError:
        return scores


def _scored(score: Record, headline: Headline) -> str:
    return "diverged" if score.get("diverged") else headline.number(score["score"])


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
    headline = of_record(record)
    told = ", ".join(_scored(score, headline) for score in scores)
    chosen = _equal(record["chosen"], list(values(record["chosen"])))
    known = [score["score"] for score in scores if not score.get("diverged")]
    tied = known.count(headline.best(known)) > 1
    first = "; of equal ones the first that is listed" if tied else ""
    name = f"{model(record)}, {labels(record['labels'])}"
    where = f"on {counted(record['held_out'], 'held-out label')}"
    unit = f" {headline.unit}" if headline.unit else ""
    return f"{name}: {chosen} chosen among {tried} ({told}{unit} {where}{first})"
