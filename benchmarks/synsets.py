"""Class names of ImageNet and Tiny ImageNet typed as hashtags: do they come back to their
WordNet synset?

`python -m benchmarks.synsets WORDNET --imagenet DIR --tiny setA_classes.tsv`: WORDNET is any file
that corpus/hashtags/wordnet.py reads, its synsets named by wnid; DIR holds imagenet_synsets.txt and
imagenet_synset_to_lemma.txt. Per set: the first lemma, every lemma, and plurals of the first.
`found`: the tag's synsets hold the class; `alone`: they are it alone; `first`: it is the first
sense (where the file orders senses). Then every tag that is not found, with the reason.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.words import write
from corpus.hashtags.canonical import Canon
from corpus.hashtags.normal import normalise_or_why
from corpus.hashtags.wordnet import WordNet, read_wordnet

Classes = dict[str, list[str]]


def read_classes(path: Path) -> Classes:
    """The lemmas of each wnid from lines `wnid<TAB>lemma, lemma`.

    ValueError for another kind of line.
    """
    classes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        wnid, tab, lemmas = line.partition("\t")
        if not tab:
            raise ValueError(
                f"{path} line {number}: expected `wnid<TAB>lemma, lemma`, found {line!r}"
            )
        classes[wnid] = [lemma.strip() for lemma in lemmas.split(",") if lemma.strip()]
    return classes


def plural(noun: str) -> str:
    """The regular English plural, and -men."""
    if noun.endswith("man"):
        return noun[:-3] + "men"
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


def found(wordnet: WordNet, lemma: str) -> tuple[tuple[str, ...], str]:
    """(ids of the synsets of a lemma typed as a hashtag, first sense first; why there are none)."""
    form, why = normalise_or_why("#" + lemma.replace(" ", ""))
    if not form:
        return (), why
    numbers = wordnet.find(form) or wordnet.find(wordnet.singular(form) or "")
    return wordnet.ids(numbers), "" if numbers else "no noun of this WordNet has these letters"


def row(wordnet: WordNet, title: str, tags: list[tuple[str, str]], missed: list[str]) -> str:
    """One line of the table over (wnid, lemma) pairs; what is not found goes to `missed`."""
    held = alone = first = 0
    for wnid, lemma in tags:
        ids, why = found(wordnet, lemma)
        held, alone, first = (
            held + (wnid in ids),
            alone + (ids == (wnid,)),
            first + (ids[:1] == (wnid,)),
        )
        if wnid not in ids:
            missed.append(f"- {title}: `{lemma}` ({wnid}): {why or 'is only ' + ', '.join(ids)}")
    cells = [
        title,
        f"{len(tags):,}",
        *(f"{100 * n / max(len(tags), 1):.1f}" for n in (held, alone, first)),
    ]
    if not wordnet.ordered:
        cells[-1] = "no order"
    return f"| {' | '.join(cells)} |"


def shared(wordnet: WordNet, classes: Classes) -> list[str]:
    """Classes whose first lemmas are one class of pretraining under `senses: same`."""
    canon = Canon(wordnet=wordnet)
    forms = {wnid: normalise_or_why(lemmas[0])[0] for wnid, lemmas in classes.items()}
    distinct = sorted({form for form in forms.values() if form})
    names = dict(zip(distinct, canon.names(distinct, [1] * len(distinct)), strict=True))
    by_name = defaultdict(list)
    for wnid, form in forms.items():
        by_name[names.get(form, ())].append(f"{wnid} {classes[wnid][0]}")
    return [
        f"- one hashtag class: {', '.join(together)}"
        for together in by_name.values()
        if len(together) > 1
    ]


def main() -> None:
    """Print the table and the failures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wordnet", type=Path, help="WordNet file or folder")
    parser.add_argument(
        "--imagenet", type=Path, required=True, help="folder of imagenet_synset_to_lemma.txt"
    )
    parser.add_argument("--tiny", type=Path, required=True, help="setA_classes.tsv")
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    start = time.perf_counter()
    wordnet = read_wordnet(given.wordnet)
    seconds = time.perf_counter() - start
    every = read_classes(given.imagenet / "imagenet_synset_to_lemma.txt")
    chosen = (given.imagenet / "imagenet_synsets.txt").read_text().split()
    sets = {
        "ILSVRC": {wnid: every[wnid] for wnid in chosen},
        "Tiny ImageNet": read_classes(given.tiny),
    }
    lines = ["| tags | number | found % | alone % | first % |", "| --- " * 5 + "|"]
    missed: list[str] = []
    for title, classes in sets.items():
        firsts = [(wnid, lemmas[0]) for wnid, lemmas in classes.items()]
        lines.append(row(wordnet, f"{title}, first lemma", firsts, missed))
        alls = [(wnid, lemma) for wnid, lemmas in classes.items() for lemma in lemmas]
        lines.append(row(wordnet, f"{title}, all lemmas", alls, missed))
        plurals = [(wnid, plural(lemma)) for wnid, lemma in firsts]
        lines.append(row(wordnet, f"{title}, plural of the first", plurals, missed))
    lines += [
        "",
        "Not found:",
        "",
        *missed,
        "",
        "Told apart by no hashtag:",
        "",
        *shared(wordnet, sets["ILSVRC"]),
    ]
    size = f"{len(wordnet.synsets):,} noun synsets, {wordnet.strings:,} strings"
    head = f"{given.wordnet.name}: {size}, read in {seconds:.1f} s"
    write("Class names as hashtags", head, lines, given.out)


if __name__ == "__main__":
    main()
