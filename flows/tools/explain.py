"""Why a hashtag became what it became: `python -m flows.explain "#ursusarctos" "#GoldenRetriever"`.

What the stage corpus decided of a hashtag is told from out/corpus; of one that nobody typed, what
the rules would make of it. Settings are those of section corpus in params.yaml, the mapping table
is data/posts/synonyms.tsv where there is one.
"""

import csv
import gc
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from corpus.hashtags.canonical import RULES, Canon, read_canon
from corpus.hashtags.normal import normalise
from corpus.hashtags.plurals import candidates
from corpus.hashtags.story import Explanation, FormDecision, explain
from corpus.names import printable
from flows.cli.command import parser, user_errors
from flows.running import settings

TABLE = Path("data/posts/synonyms.tsv")
CHANGED = "note: out/corpus is of other settings of hashtags than params.yaml has now"


def canon(section: Mapping[str, Any], table: Path, wordnet: str | None) -> Canon:
    """The rules as the stage corpus has them: its section, its table; `wordnet` before its own."""
    rules = {key: section[key] for key in RULES if key in section}
    return read_canon(table, wordnet or section.get("wordnet"), **rules)


def read_vocabulary(path: Path) -> dict[str, int]:
    """Posts per class of the stage's vocabulary; empty before its first run.

    ValueError for a damaged file.
    """
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return {row["hashtag"]: int(row["posts"]) for row in csv.DictReader(file)}
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            fix = "run the stage again: dvc repro corpus"
            raise ValueError(f"{path}: no vocabulary ({error!r}); {fix}") from error


def run_of(path: Path, forms: Collection[str]) -> dict[str, FormDecision]:
    """What the run decided of forms, and of singulars that they may have."""
    from corpus.tags.decisions import read_decisions

    singulars = {singular for form in forms for _, singular in candidates(form)}
    return read_decisions(path, singulars.union(forms))


def changed(path: Path, section: Mapping[str, Any]) -> bool:
    """Whether there is a run, of other settings of hashtags."""
    if not path.is_file():
        return False
    from corpus.tags.decisions import same_rules

    return not same_rules(path, section)


def learn(
    rules: Canon,
    forms: Collection[str],
    run: Mapping[str, FormDecision],
    classes: Mapping[str, int],
) -> None:
    """Teach the rules what was typed, and `forms` that nobody typed as if one post had them."""
    posts = dict(classes) | {form: told.posts for form, told in run.items()}
    posts |= dict.fromkeys(set(forms) - posts.keys(), 1)
    rules.names(list(posts), list(posts.values()))


def story_of(
    explanation: Explanation,
    classes: Mapping[str, int],
    told: FormDecision | None = None,
    min_posts: int = 0,
) -> list[str]:
    """The story of one tag: a line per step, then its classes."""
    text = [explanation.typed]
    for rule, before, after, why in explanation.steps:
        text.append(f"  {rule:10} {before} -> {after or 'dropped'}" + f"  ({why})" * bool(why))
    if told:
        text.append(f"  typed in {told.posts:,} post{'s' * (told.posts != 1)}")
    elif min_posts and explanation.steps[0].after:
        text.append("  typed in no post: what the rules would make of it")
    posts_of = dict(zip(told.names, told.posts_of, strict=True)) if told else {}
    for name in explanation.names:
        text.append(f"  = {name}" + _fate(name, classes, posts_of.get(name), min_posts))
    return text if explanation.names else [*text, "  = dropped"]


def _fate(name: str, classes: Mapping[str, int], posts: int | None, min_posts: int) -> str:
    """What became of a name, in the words of the report; "" before a run."""
    if name in classes:
        return f": class {list(classes).index(name)}, {classes[name]:,} posts"
    if not classes:
        return ""
    if posts is None:
        return ": not in the vocabulary"
    if posts < min_posts:
        return f": too rare for a class, {posts:,} of at least {min_posts:,} posts"
    return f": not among the classes, {posts:,} posts"


def stories_of(rules: Canon, tags: Collection[str], out: Path, as_run: bool = True) -> list[str]:
    """The stories of tags, by the run whose files are in `out`, or by the rules alone."""
    forms = set(filter(None, map(normalise, tags)))
    classes, table = read_vocabulary(out / "vocabulary.csv"), out / "forms.parquet"
    as_run = as_run and table.is_file()
    run = run_of(table, forms) if as_run else {}
    learn(rules, forms, run, classes)
    text = []
    for tag in tags:
        told = run.get(normalise(tag) or "")
        text += story_of(explain(rules, tag, run), classes, told, rules.min_posts * as_run)
    return text


def main() -> None:
    """Print the steps of each tag."""
    command = parser("explain", __doc__)
    command.add_argument("tags", nargs="+", metavar="TAG", help="a hashtag as typed; quote the #")
    wordnet = "WordNet file or folder: tell by the rules with it, not by the run"
    command.add_argument("--wordnet", metavar="FILE", help=wordnet)
    given = command.parse_args()
    with user_errors():
        gc.disable()  # a WordNet is a million small objects, all kept to the end
        section, out = settings.load_params()["corpus"], settings.OUT / "corpus"
        rules = canon(section, TABLE, given.wordnet)
        if not given.wordnet and changed(out / "forms.parquet", section):
            print(CHANGED)
        text = stories_of(rules, given.tags, out, as_run=not given.wordnet)
        print("\n".join(map(printable, text)))


if __name__ == "__main__":
    main()
