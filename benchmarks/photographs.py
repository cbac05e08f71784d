"""The whole DAG on photographs: Tiny ImageNet posted under WordNet hashtags, then CIFAR-10 with few labels.

    make repro RECIPE=photographs        (or: python -m benchmarks.photographs [--quick] [-S finetune.seeds=[0]])

Hashtags are WordNet lemmas, merged by synset, as in Mahajan et al. 2018 (arXiv 1805.00932), section 2.1; wrong ones are
drawn from the marginal distribution, as in that paper's noise experiment. The DAG runs in a clone of this repository's
HEAD, so that data/ and params.yaml stay as they are; run again, it goes on there.
"""

import argparse
import contextlib
import csv
import json
import lzma
import os
import platform
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from corpus.hashtags import normalise
from corpus.posts import json_line
from corpus.sample import OFF_TOPIC, User, stream, user_of, zipf
from engine.build import options
from engine.digest import digest
from flows import settings, tracking
from flows.command import user_errors
from flows.report import gain_line

ROOT = Path(__file__).resolve().parents[1]
RECIPE, RESULT = Path(__file__).with_suffix(".yaml"), ROOT / "benchmarks" / "results" / "photographs.md"
PHOTOS, NOUNS, LABELLED = "tinyimagenet_setA.tar.xz", "wordnet_nouns.tar.xz", "cifar10.tar.xz"
POST = 1  # random stream
QUICK = (
    *("posts.per_class=30", "posts.posts_per_user=10", "labels.train=60", "labels.val=20", "labels.test=20"),
    *("corpus.min_posts=10", "search.trials=2", "pretrain.epochs=1", "pretrain.recipe.warmup=0"),
    *("finetune.epochs=2", "finetune.seeds=[0, 1]", "evaluate.runs=5"),
)


# ---- packs


def members(packs: Path, pack: str, below: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of the files of a pack below a folder of it, streamed: no path of an archive is ever extracted."""
    try:
        with tarfile.open(packs / pack, "r|xz") as tar:
            for info in tar:
                if info.isreg() and info.name.startswith(below):
                    yield info.name, tar.extractfile(info).read()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{pack} is damaged ({error}): copy it again into the folder that --packs names") from error


def check_packs(packs: Path) -> None:
    """ValueError that names the packs that lack."""
    lacking = [pack for pack in (PHOTOS, NOUNS, LABELLED) if not (packs / pack).is_file()]
    if lacking:
        raise ValueError(
            f"{', '.join(lacking)} not found in {packs}: name the folder that holds the packs with --packs"
        )


# ---- hashtags


class Class(NamedTuple):
    """Hashtag forms of a class, usual one first, and of its hypernyms: per level, per parent."""

    forms: list[str]
    above: list[list[list[str]]]


def classes(packs: Path, wnids: Sequence[str], levels: int) -> dict[str, Class]:
    """Lemmas in hashtag form of the synsets (`n01629819` ...) and of their hypernyms up to `levels` above."""
    text = next(data for _, data in members(packs, NOUNS, "wordnet_nouns/wordnet_nouns.tsv")).decode()
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    synsets, known = {row["synset"]: row for row in rows}, {row["pwn30_wnid"]: row for row in rows}

    def forms(row: dict[str, str]) -> list[str]:
        return list(dict.fromkeys(form for lemma in row["members"].split("|") if (form := normalise(lemma))))

    def above(row: dict[str, str]) -> Iterator[list[list[str]]]:
        level = [row]
        for _ in range(levels):
            names = dict.fromkeys(name for r in level for name in r["hypernyms"].split(",") if name)
            level = [synsets[name] for name in names]
            yield [forms(r) for r in level]

    return {wnid: Class(forms(known[wnid]), [level for level in above(known[wnid]) if level]) for wnid in wnids}


def synonyms(known: Sequence[Class]) -> dict[str, str]:
    """Form to the usual form of its synset; a form of two synsets in use, or the usual one of another, stays itself."""
    used = {tuple(forms) for c in known for forms in (c.forms, *(parent for level in c.above for parent in level))}
    senses = Counter(form for forms in used for form in forms)
    return {form: forms[0] for forms in sorted(used) for form in forms[1:] if senses[form] == 1}


def tags_of(
    rng: np.random.Generator,
    own: Class,
    known: Sequence[Class],
    user: User,
    missing: float,
    wrong: float,
    synonym: float,
    hypernym: float,
    off_topic: float,
) -> list[str]:
    """The tags of one post, never none; `posts` explains the rates."""
    named = [] if rng.random() < missing else [own.forms]
    for level in own.above:
        if rng.random() < hypernym:
            named.append(level[int(rng.integers(len(level)))])
    tags = []
    for forms in named:
        if rng.random() < wrong:
            strangers = [c for c in known if c is not own]
            forms = strangers[int(rng.integers(len(strangers)))].forms
        others = forms[1:] if rng.random() < synonym else []
        tags.append(zipf(rng, others) if others else forms[0])
    while rng.random() < off_topic or not tags:
        tags.append(zipf(rng, user.favourites if rng.random() < 0.5 else OFF_TOPIC))
    tags = list(dict.fromkeys(tags))
    return [tags[i] for i in rng.permutation(len(tags)).tolist()]


# ---- posts and labels


def photos(packs: Path, per_class: int) -> Iterator[tuple[int, str, str, bytes]]:
    """(number, class, image name, bytes) of the first photographs per class, in the order of the pack."""
    taken: Counter[str] = Counter()
    for number, (name, data) in enumerate(members(packs, PHOTOS, "tinyimagenet/setA/")):
        wnid = name.split("/")[3]
        taken[wnid] += 1
        if taken[wnid] <= per_class:
            yield number, wnid, f"posts/{wnid}-{number:05d}.jpg", data


def posts(
    packs: Path,
    out: Path,
    seed: int = 0,
    per_class: int = 300,
    posts_per_user: float = 20,
    levels: int = 3,
    missing: float = 0.15,
    wrong: float = 0.1,
    synonym: float = 0.4,
    hypernym: float = 0.4,
    off_topic: float = 0.4,
) -> None:
    """Write Tiny ImageNet (64 px, both splits) as out/posts/*.jpg, out/posts.jsonl and out/synonyms.tsv.

    The same arguments give the same bytes.

    Rates, each drawn on its own: `missing`: the class is not named; `hypernym`: at each of the `levels` above it, a
    hypernym is named; `wrong`: a tag gives way to the name of a class drawn from the marginal (all classes are equally
    frequent); `synonym`: another lemma than the usual one, where there is one; `off_topic`: one more tag that says
    nothing, again and again. A post left with nothing gets an off-topic tag. ValueError for a rate that is none.
    """
    rates = {"missing": missing, "wrong": wrong, "synonym": synonym, "hypernym": hypernym, "off_topic": off_topic}
    if not all(0 <= rate <= 1 for rate in rates.values()) or off_topic == 1:
        raise ValueError(f"posts: {rates}: give rates from 0 to 1, off_topic below 1")
    photographs = list(photos(packs, per_class))  # some 60 MB, rather than decompress the pack twice
    known = classes(packs, sorted({wnid for _, wnid, _, _ in photographs}), levels)
    users = max(1, round(len(photographs) / posts_per_user))
    (out / "posts").mkdir(parents=True)
    with (out / "posts.jsonl").open("w", encoding="utf-8") as manifest:
        for number, wnid, image, data in photographs:
            rng = stream(seed, POST, number)
            (out / image).write_bytes(data)
            user = user_of(seed, int(rng.integers(users)))
            moment = datetime(2023, 1, 1) + timedelta(seconds=int(rng.integers(2 * 365 * 86400)))
            tags = tags_of(rng, known[wnid], list(known.values()), user, **rates)
            manifest.write(json_line({"image": image, "hashtags": tags, "user": user.name, "time": moment.isoformat()}))
    table = "".join(f"{tag}\t{name}\n" for tag, name in synonyms(list(known.values())).items())
    (out / "synonyms.tsv").write_text(table, encoding="utf-8", newline="\n")


def labels(packs: Path, out: Path, train: int = 200, val: int = 100, test: int = 1000) -> None:
    """Write CIFAR-10 (32 px) as out/labels/*.jpg and out/labels.csv: the first images per class of its own two splits.

    `train` and `val` are apart and from its training images, `test` from its test images; all numbers are per class.
    """
    (out / "labels").mkdir(parents=True)
    taken: Counter[tuple[str, str]] = Counter()
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        manifest = csv.writer(file, lineterminator="\n")
        manifest.writerow(("image", "label", "split"))
        for name, data in members(packs, LABELLED, "cifar10/t"):
            part, label, file_name = name.split("/")[1:]
            number = taken[part, label]
            taken[part, label] += 1
            split = part if number < (test if part == "test" else train) else "val"
            if number < (test if part == "test" else train + val):
                image = f"labels/{part}-{label}-{file_name}"
                (out / image).write_bytes(data)
                manifest.writerow((image, label, split))


# ---- the clone that the DAG runs in


def merged(params: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """The overlay over the params, section by section."""
    nested = [name for name in overlay if isinstance(overlay[name], dict) and isinstance(params.get(name), dict)]
    return params | overlay | {name: merged(params[name], overlay[name]) for name in nested}


def parsed(text: str, where: str) -> Any:
    """YAML; ValueError where it is none."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is not YAML ({error}): mend it") from None


def override(assignment: str) -> dict[str, Any]:
    """`search.trials=2` as a nested section."""
    path, equals, value = assignment.partition("=")
    if not equals or not all(path.split(".")):
        raise ValueError(f"-S {assignment}: write section.key=value, for example -S finetune.seeds=[0,1]")
    section = parsed(value, f"-S {assignment}")
    for key in reversed(path.split(".")):
        section = {key: section}
    return section


def git(folder: Path, *arguments: str, **env: str) -> str:
    """Output of a git command in a folder; ValueError with git's message."""
    done = subprocess.run(["git", *arguments], cwd=folder, env=os.environ | env, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(
            f"git {arguments[0]}: {done.stderr.strip()}: mend that, the DAG runs in a clone of this project"
        )
    return done.stdout.strip()


def checkout(origin: Path, work: Path) -> str:
    """A clone of the origin's HEAD in `work`, its data and its DVC lock kept where it exists; returns the commit."""
    if not (work / ".git").exists():
        work.parent.mkdir(parents=True, exist_ok=True)
        git(origin, "clone", "--quiet", "--no-checkout", str(origin), str(work))
    kept = {path: path.read_bytes() for path in (work / "data.dvc", work / "dvc.lock") if path.exists()}
    git(work, "fetch", "--quiet", str(origin), "HEAD")
    git(work, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
    for path, content in kept.items():
        path.write_bytes(content)
    # photographs under a licence of their own must not go to the remote that a user may have configured
    (work / ".dvc" / "config.local").write_text("[core]\n    remote =\n")
    return git(work, "rev-parse", "HEAD")


def python(work: Path, *arguments: str) -> None:
    """Run a module of the clone; SystemExit with its exit code if it fails (it has said why)."""
    code = subprocess.run([sys.executable, "-m", *arguments], cwd=work, check=False).returncode
    if code:
        raise SystemExit(code)


def versioned(packs: Path, work: Path, target: str, sections: dict[str, dict[str, Any]]) -> None:
    """Posts and labels into the clone's data/ and data.dvc, unless they are there already, made by the same code."""
    key = digest(sections, target, {pack: (packs / pack).stat().st_size for pack in (PHOTOS, NOUNS, LABELLED)})
    key = digest(key, Path(__file__), ROOT / "corpus")
    made = work / settings.STATE / "photographs.key"
    if made.exists() and made.read_text() == key and (work / "data").exists():
        return
    made.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        posts(packs, out, **options(posts, sections["posts"], "posts", ("packs", "out")))
        labels(packs, out, **options(labels, sections["labels"], "labels", ("packs", "out")))
        (work / "data" / "posts").mkdir(parents=True, exist_ok=True)
        (work / "data" / "posts" / "synonyms.tsv").write_bytes((out / "synonyms.tsv").read_bytes())
        manifests = ("--posts", str(out / "posts.jsonl"), "--labels", str(out / "labels.csv"))
        python(work, "flows.version", "add", "--images", folder, *manifests, "--target", target)
    made.parent.mkdir(exist_ok=True)
    made.write_text(key)


def committed(work: Path) -> None:
    """Commit data.dvc and params.yaml in the clone, dated as the commit below: the same content, the same commit."""
    date = git(work, "log", "-1", "--format=%cI")
    git(work, "add", "data.dvc", "params.yaml")
    identity = ("-c", "user.name=tagdag", "-c", "user.email=tagdag@localhost", "-c", "commit.gpgsign=false")
    message = ("--quiet", "--allow-empty", "--no-verify", "-m", "photographs")
    git(work, *identity, "commit", *message, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)


# ---- the result


def stage_minutes(data: str) -> dict[str, float]:
    """Minutes of the last finished MLflow run of every stage on a data version."""
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    where = f"tags.`tagdag.data` = '{data}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment], where, order_by=["attributes.start_time ASC"], max_results=5000)
    named = [(run.data.tags.get("tagdag.stage"), run.info) for run in runs]
    return {stage: (info.end_time - info.start_time) / 60000 for stage, info in named if stage}


def table(records: list[dict[str, Any]], gains: list[dict[str, Any]]) -> list[str]:
    """Markdown: accuracy per candidate, init, mode and number of labels; what pretraining gave, with intervals."""
    head = ("candidate", "init", "mode", "labels per class", "top-1 % (95 % over seeds)", "top-5 %", "top-1 % per seed")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in records:
        spread = f" ({r['top1_mean_low']:.1f} to {r['top1_mean_high']:.1f})" if len(r["seeds"]) > 1 else ""
        cells = [str(r[key]) for key in ("candidate", "init", "mode", "labels")]
        cells += [f"{r['top1_mean']:.1f}{spread}", f"{r['top5']:.1f}", ", ".join(f"{t:.1f}" for t in r["top1_seeds"])]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", *(f"- {gain_line(gain)}" for gain in gains)]


def facts(work: Path, commit: str, minutes: float) -> dict[str, str]:
    """What a reader needs to run the DAG of a clone again, and how long it took."""
    params = yaml.safe_load((work / "params.yaml").read_text())
    with contextlib.chdir(work):
        data = tracking.data_version()
    counts = json.loads((work / settings.OUT / "corpus" / "summary.json").read_text())
    spent = ", ".join(f"{stage} {value:.1f}" for stage, value in stage_minutes(data).items())
    search, pretrain, finetune = (params[name] for name in ("search", "pretrain", "finetune"))
    return {
        "versions": f"tagdag {commit[:12]}, torch {torch.__version__}, Python {platform.python_version()}",
        "data version": data,
        "minutes": f"{minutes:.1f} in this run; each stage when it last ran: {spent}",
        "seeds": f"search {search['seed']}, pretrain {pretrain['seed']}, finetune {finetune['seeds']}",
        "corpus": f"{counts['posts']} posts, {counts['hashtags']} hashtags, {params['corpus']['size']} px",
        "search": f"{search['trials']} networks, {search['epochs']} epochs each",
        "pretrain": f"{pretrain['epochs']} epochs",
    }


def result(work: Path, command: str, commit: str, sections: dict[str, Any], minutes: float) -> str:
    """The result as Markdown: how it came about, what came out; no path of this machine is in it."""
    out = work / settings.OUT / "evaluate"
    records, gains = (json.loads((out / f"{part}.json").read_text()) for part in ("records", "gains"))
    rows = {
        "command": f"`{command}`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": records[0]["device"],
        **facts(work, commit, minutes),
        "posts from Tiny ImageNet": json.dumps(sections["posts"]),
        "images per class from CIFAR-10 (as JPEG)": json.dumps(sections["labels"]),
    }
    lines = ["# Pretraining on hashtags, on photographs", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([*lines, "", *table(records, gains)]) + "\n"


def run(packs: Path, work: Path, recipe: Path, overrides: Sequence[str], command: str, target: Path) -> None:
    """Clone, data, DAG, result table."""
    started = time.monotonic()
    check_packs(packs)
    overlay = parsed(recipe.read_text(), recipe.name)
    for assignment in overrides:
        overlay = merged(overlay, override(assignment))
    sections = {name: overlay.pop(name, {}) for name in ("posts", "labels")}
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{ROOT / 'mlflow.db'}")
    tracking.connect()  # from here, so that artifacts of a new experiment stay beside the database, not in the clone
    base = checkout(ROOT, work)
    if git(ROOT, "status", "--porcelain", "--untracked-files=no"):
        print("note: what is not committed is not in the clone that runs", file=sys.stderr)
    params = merged(yaml.safe_load((work / "params.yaml").read_text()), overlay)
    (work / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    versioned(packs, work, params["finetune"]["target"], sections)
    committed(work)
    python(work, "flows.pipeline")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(result(work, command, base, sections, (time.monotonic() - started) / 60))
    print(f"result table: {os.path.relpath(target)}")


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--packs", type=Path, default=Path("../shared/data"), help="folder of the packs (*.tar.xz)")
    add("--work", type=Path, help="folder of the clone (default .tagdag/photographs)")
    add("--params", type=Path, default=RECIPE, help="YAML laid over params.yaml, with sections posts and labels")
    add("-S", action="append", default=[], metavar="KEY=VALUE", help="one number, such as -S posts.wrong=0.3")
    add("--quick", action="store_true", help="few posts and epochs, in a clone of its own; the table stays there")
    given = parser.parse_args()
    shown = ["--quick"] * given.quick + [f"-S {shlex.quote(assignment)}" for assignment in given.S]
    shown += [f"--params {given.params.name}"] if given.params != RECIPE else []
    command = " ".join(["python -m benchmarks.photographs", *shown]) if shown else "make repro RECIPE=photographs"
    work = (given.work or ROOT / settings.STATE / f"photographs{'-quick' * given.quick}").resolve()
    target = work / settings.OUT / RESULT.name if given.quick else RESULT
    with user_errors():
        run(given.packs, work, given.params, [*QUICK * given.quick, *given.S], command, target)


if __name__ == "__main__":
    main()
