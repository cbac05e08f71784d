"""Why a hashtag became what it became: `python -m flows.explain "#ursusarctos" "#GoldenRetrieverPuppy"`.

Settings are those of section corpus in params.yaml, the mapping table is data/posts/synonyms.tsv where there is one;
after the stage corpus has run, its vocabulary tells which tags are frequent and what a class counts.
"""

import argparse
import csv
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.hashtags.canonical import RULES, Canon, read_canon
from corpus.hashtags.meanings import Decision
from corpus.names import printable
from flows import settings
from flows.command import user_errors

TABLE = Path("data/posts/synonyms.tsv")


def canon(section: Mapping[str, Any], table: Path, wordnet: str | None) -> Canon:
    """The rules as the stage corpus has them: its section of params.yaml, its table; `wordnet` goes before its own."""
    return read_canon(
        table, wordnet or section.get("wordnet"), **{key: section[key] for key in RULES if key in section}
    )


def read_vocabulary(path: Path) -> dict[str, int]:
    """Posts per class of the stage's vocabulary; empty before its first run. ValueError for a damaged file."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return {row["hashtag"]: int(row["posts"]) for row in csv.DictReader(file)}
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"{path}: no vocabulary ({error!r}); run the stage again: dvc repro corpus") from error


def lines(decision: Decision, classes: Mapping[str, int]) -> list[str]:
    """The story of one tag: a line per step, then its classes."""
    steps = [(step.rule, f"{step.before} -> {step.after or 'dropped'}", step.why) for step in decision.steps]
    text = [decision.typed, *(f"  {rule:10} {change}{f'  ({why})' if why else ''}" for rule, change, why in steps)]
    for name in decision.names:
        rank = (
            f"class {list(classes).index(name)}, {classes[name]:,} posts"
            if name in classes
            else "not in the vocabulary"
        )
        text.append(f"  = {name}{f': {rank}' if classes else ''}")
    return text if decision.names else [*text, "  = dropped"]


def main() -> None:
    """Print the steps of each tag."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.explain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tags", nargs="+", metavar="TAG", help="a hashtag as it was typed; quote the #")
    parser.add_argument("--wordnet", metavar="FILE", help="WordNet file or folder, instead of params.yaml's")
    given = parser.parse_args()
    with user_errors():
        gc.disable()  # a WordNet is a million small objects, all kept to the end
        rules = canon(settings.load()["corpus"], TABLE, given.wordnet)
        classes = read_vocabulary(settings.OUT / "corpus" / "vocabulary.csv")
        rules.names(list(classes), list(classes.values()))
        for tag in given.tags:
            print("\n".join(map(printable, lines(rules.explain(tag), classes))))


if __name__ == "__main__":
    main()
