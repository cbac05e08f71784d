"""How pretend users tag a video of moving shapes: what moves how, in five languages, with noise.

The faults are those of hashtags under pictures (corpus/drawn/tagging.py): synonyms, languages,
misspellings, off-topic, missing and wrong ones; and left taken for right.
"""

import numpy as np

from corpus.drawn.concepts import FORMS as FORMS_SEEN
from corpus.drawn.tagging import EMOJI, dress, misspell
from corpus.sources.users import OFF_TOPIC, User, zipf

# canonical tag first, then what else people write, by language: en / es / de / fr / ru
MOTIONS = {
    "left": "left leftward toleft / izquierda / links / gauche / влево",
    "right": "right rightward toright / derecha / rechts / droite / вправо",
    "up": "up upward rising / arriba / aufwärts hoch / monter / вверх",
    "down": "down downward falling / abajo / abwärts runter / descendre / вниз",
    "clockwise": "clockwise cw / horario / uhrzeigersinn / horaire / почасовой",
    "anticlockwise": "anticlockwise counterclockwise ccw / antihorario / gegenuhrzeigersinn / "
    "antihoraire / противчасовой",
    "growing": "growing grows bigger zoomin / creciendo / wachsend / grandir / растёт",
    "shrinking": "shrinking shrinks smaller zoomout / encogiendo / schrumpfend / "
    "rétrécir / сжимается",
    "moving": "moving motion sliding / moviendo / bewegung / mouvement / движение",
    "spinning": "spinning spin rotation / girando / drehung / rotation / вращение",
    "orbiting": "orbiting orbit circling / órbita / umkreisen / orbite / орбита",
}
FORMS: dict[str, list[list[str]]] = {}  # of each concept, by language
for _name, _line in MOTIONS.items():
    FORMS[_name] = [words.split() for words in _line.split("/")]
OPPOSITES = (
    ("left", "right"),
    ("up", "down"),
    ("clockwise", "anticlockwise"),
    ("growing", "shrinking"),
)
OPPOSITE = dict(OPPOSITES) | {second: first for first, second in OPPOSITES}
NAMED, SEEN, WRONG = 0.85, 0.35, 0.04  # how often a motion, a shape or colour, the opposite is said


def hashtags(
    rng: np.random.Generator, motions: list[str], seen: list[str], user: User
) -> list[str]:
    """What this user writes under a video of these motions, shapes and colours; never nothing."""
    tags = []
    for names, rate, forms in ((motions, NAMED, FORMS), (seen, SEEN, FORMS_SEEN)):
        for name in names:
            if rng.random() < rate * user.verbosity:
                said = OPPOSITE.get(name, name) if rng.random() < WRONG else name
                tags.append(_word(rng, forms[said], user))
    while rng.random() < 0.45 or not tags:
        tags.append(zipf(rng, user.favourites if rng.random() < 0.5 else OFF_TOPIC))
    if rng.random() < 0.04:
        tags.append(zipf(rng, EMOJI))
    tags = list(dict.fromkeys(tags))
    return [dress(rng, tags[place]) for place in rng.permutation(len(tags)).tolist()]


def _word(rng: np.random.Generator, forms: list[list[str]], user: User) -> str:
    """A form of a concept: English at times whoever writes, the usual word before its synonyms."""
    spoken = 0 if rng.random() < 0.5 else user.language
    word = zipf(rng, forms[spoken])
    return misspell(rng, word) if rng.random() < 0.03 else word


def motion_synonyms() -> dict[str, str]:
    """What a curator who reads no Russian would know of the motions: tag to canonical tag."""
    table = {}
    for name, languages in FORMS.items():
        known = [form.casefold() for words in languages[:-1] for form in words]
        table |= {form: name for form in known if form != name}
    return table
