"""What can be named in a drawn scene, in the words of five languages, and the classes to learn.

The target set asks for combinations (a striped star) that no single word names.
"""

# canonical tag first, then what else people write, by language: en / es / de / fr / ru
SHAPES = {
    "circle": "circle round disc / círculo redondo / kreis rund / cercle rond / круг",
    "star": "star stars / estrella / stern sterne / étoile / звезда",
    "heart": "heart hearts / corazón / herz herzen / coeur / сердце",
    "square": "square box / cuadrado / quadrat viereck / carré / квадрат",
    "triangle": "triangle triangular / triángulo / dreieck / trigone / треугольник",
    "cross": "cross plus / cruz / kreuz / croix / крест",
    "moon": "moon crescent / luna / mond / lune / луна",
    "ring": "ring donut hoop / anillo / reif / anneau / кольцо",
    "diamond": "diamond rhombus / rombo / raute / losange / ромб",
}
TEXTURES = {
    "striped": "striped stripes stripy / rayas rayado / gestreift streifen / "
    "rayures rayé / полоска",
    "dotted": "dotted dots polkadot / lunares puntos / gepunktet punkte / pois / горошек",
    "checked": "checked checks chequered / cuadros / kariert karo / damier carreaux / клетка",
    "ringed": "ringed bullseye ripples / diana / zielscheibe / cible / мишень",
    "plain": "plain minimal / liso / schlicht / uni / однотонный",
}
COLOURS = {
    "red": "red crimson scarlet / rojo / rot / rouge / красный",
    "blue": "blue navy / azul / blau / bleu / синий",
    "yellow": "yellow golden / amarillo / gelb / jaune / жёлтый",
    "green": "green emerald / verde / grün / vert / зелёный",
    "white": "white ivory / blanco / weiss / blanc / белый",
    "pink": "pink fuchsia / rosa / rosa / rose / розовый",
    "orange": "orange tangerine / naranja / orange / orange / оранжевый",
    "purple": "purple violet / morado / lila / mauve / фиолетовый",
    "brown": "brown chocolate / marrón / braun / brun / коричневый",
}
SETTINGS = {
    "beach": "beach seaside sand / playa / strand / plage / пляж",
    "city": "city urban skyline / ciudad / stadt / ville / город",
    "sea": "sea ocean waves / mar / meer / mer océan / море",
    "night": "night midnight / noche / nacht / nuit / ночь",
    "forest": "forest woods trees / bosque / wald / forêt / лес",
    "snow": "snow winter / nieve / schnee / neige / снег",
    "meadow": "meadow field grass / pradera / wiese / prairie / луг",
    "desert": "desert dunes / desierto / wüste / désert / пустыня",
}
COUNTS = {
    "alone": "alone single / único / einzeln / seul / один",
    "pair": "pair two couple / dos pareja / zwei paar / deux paire / пара",
    "trio": "trio three / tres / drei / trois / тройка",
    "quartet": "quartet four / cuatro / vier / quatre / четыре",
}
SIZES = {
    "big": "big huge / grande / gross / grand / большой",
    "small": "small tiny / pequeño / klein / petit / маленький",
}
GROUPS = (  # and how often one of them in the picture is named
    (SHAPES, 0.9),
    (TEXTURES, 0.9),
    (COLOURS, 0.5),
    (SETTINGS, 0.4),
    (COUNTS, 0.12),
    (SIZES, 0.1),
)
FORMS: dict[str, list[list[str]]] = {}  # of each concept, by language
MENTIONED: dict[str, float] = {}  # how often a concept in the picture is named
for _group, _rate in GROUPS:
    for _name, _line in _group.items():
        FORMS[_name] = [words.split() for words in _line.split("/")]
        MENTIONED[_name] = _rate
CONCEPT_OF = {
    form: name for name, languages in FORMS.items() for words in languages for form in words
}
CLASSES = [
    ("star", "striped"), ("star", "dotted"), ("heart", "striped"), ("heart", "checked"),
    ("cross", "dotted"), ("cross", "ringed"), ("triangle", "checked"), ("triangle", "ringed"),
    ("square", "striped"), ("square", "dotted"),
]  # fmt: skip


def synonyms() -> dict[str, str]:
    """What a curator who reads no Russian would know: tag to canonical tag.

    Misspelt and merged words are not in it.
    """
    table = {}
    for name, languages in FORMS.items():
        for words in languages[:-1]:
            table |= {form.casefold(): name for form in words if form != name}
    return table
