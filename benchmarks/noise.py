"""What noisy tags, the vocabulary and resampling do to transfer, on photographs.

    make repro RECIPE=noise        (half an hour on two CPU cores; or: python -m benchmarks.noise
    [--quick] [--seeds 5])

Mahajan et al. 2018 (arXiv 1805.00932): a share p of the tags gives way to draws from the marginal
distribution of tags; training lists that repeat rare tags; a vocabulary matched to the target.
Their networks saw billions of images; here a small one sees tens of thousands, so look for
directions, not for values.

Posts: Tiny ImageNet, its classes of Zipf frequencies, under WordNet tags
(corpus/sources/labelled.py; its own noise is 0). Each condition differs in one thing from the base;
all see equally many images. A seed draws the tags, the weights, the order and the few labels. Each
run is kept in .tagdag/noise/results.jsonl by its settings: a killed study goes on.
"""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.noise_data import QUICK, Sizes, stores
from benchmarks.noise_report import write
from benchmarks.packs import FOLDER, check
from benchmarks.study import Run, pursue
from corpus.progress import Progress
from corpus.reading.resampling import epoch_list
from corpus.reading.sampler import FEW_LABELS, seeded
from engine.core.build import options
from engine.core.digest import digest
from engine.core.network import network, network_sections, save_network
from engine.core.samples import Rows, cached_by_files, few_per_class, open_split
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.transfer.finetuning import fit_arm
from flows.cli.command import user_errors
from flows.running import settings
from flows.training.learning import repeats
from metrics.accuracy import Accuracy
from tests.support.corpora import build_with

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BASE = {"noise": 0.0, "resampling": "sqrt", "vocabulary": "nouns"}
SCRATCH = dict.fromkeys(BASE)  # no pretraining
CONDITIONS = {
    "base": BASE,
    "noise 10 %": BASE | {"noise": 0.1},
    "noise 25 %": BASE | {"noise": 0.25},
    "noise 50 %": BASE | {"noise": 0.5},
    "natural": BASE | {"resampling": "natural"},
    "uniform": BASE | {"resampling": "uniform"},
    "targets": BASE | {"vocabulary": "targets"},
    "frequent": BASE | {"vocabulary": "frequent"},
    "scratch": SCRATCH,
}
TRAINING, TASK = "baseline-hashtags", "scenes"  # whose sections of params.yaml are taken
PRETRAINED = "pretrained"
TUNED = {  # hyper-parameters of head and init, the same for all conditions
    ("logistic", PRETRAINED): {"l2": 0.01},
    ("logistic", "scratch"): {"l2": 0.01},
    ("linear", PRETRAINED): {"rate": 0.4},
    ("linear", "scratch"): {"rate": 1.6},
}
MEASURES = {  # name: target set, head
    "CIFAR-10, linear probe": ("cifar10", "logistic"),
    "CIFAR-10, fine-tuned": ("cifar10", "linear"),
    "source classes, linear probe": ("tinyimagenet", "logistic"),
}
READS = {"image": {}, "label": {}}


# ---- one run


def corpus(work: Path, sizes: Sizes, seed: int, condition: dict[str, Any]) -> Path:
    """The training shards of a condition, built unless they are there."""
    out = work / f"corpus-{seed}-{condition['vocabulary']}-{condition['noise']}"
    if not (out / "summary.json").exists():
        data, rules = (
            work / f"data-{seed}",
            {key: condition[key] for key in ("noise", "vocabulary")},
        )
        words = {"min_posts": sizes.min_posts, "wordnet": str(data / "nouns.tsv"), "holdout": 0.0}
        # no image of a set is for validation: nothing is chosen by it
        build_with(data, out, work / f"squares-{seed}", **words, **rules, val_share=0)
    return out


def pretrained(
    folder: Path, rule: str, sizes: Sizes, seed: int, section: dict[str, Any], show: Progress
) -> nn.Module:
    """The network trained on the hashtags, for as many images as `sizes` says."""
    shards = open_split(folder, "train")
    initialise(seed)
    module = network(**network_sections(section), classes=len(shards.names))
    factors = cached_by_files(repeats, folder, rule, sizes.length)
    epochs = sizes.images / float(factors.sum())
    # warm-up, too, is counted in images: the lists of the rules differ in length
    recipe = Recipe(
        **options(Recipe, section["recipe"] | {"warmup": epochs / 10}, "pretrain.recipe")
    )
    training = Training(recipe, epochs, seed, progress=show)
    samples = Rows(shards, {"image": {}, "hashtags": {}})
    train(module, samples, training, lambda generator: epoch_list(factors, generator))
    return module


def run(
    work: Path, sizes: Sizes, condition: dict[str, Any], seed: int, show: Progress
) -> dict[str, float]:
    """Top-1 % on the test images of every measure, after pretraining under a condition."""
    params, weights, init = settings.load_params(), work / "model.safetensors", "scratch"
    backbone = {"backbone": settings.read_backbone(params["search"]["reference"])}
    if condition != SCRATCH:
        section, init = params["pretrain"][TRAINING] | backbone, PRETRAINED
        folder = corpus(work, sizes, seed, condition) / "hashtags"
        module = pretrained(folder, condition["resampling"], sizes, seed, section, show)
        save_network(weights, module, network_sections(section), open_split(folder, "train").names)
    section = params["tasks"][TASK] | backbone | {"weights": weights, "epochs": sizes.epochs}
    arm = {"seed": seed, "init": init}
    accuracies = {}
    for name, (target, head) in MEASURES.items():
        folder = corpus(work, sizes, seed, BASE) / "targets" / target
        whole, test = (Rows(open_split(folder, split), READS) for split in ("train", "test"))
        samples = few_per_class(whole, "label", sizes.labels, seeded(seed, FEW_LABELS))
        module = fit_arm(samples, section, arm | {"head": head}, TUNED[head, init])
        accuracies[name] = scored(module, test, Accuracy()).compute()["top1"]
    return accuracies


# ---- the study


def study(folder: Path, work: Path, sizes: Sizes) -> list[Run]:
    """The results of all conditions and seeds.

    Those of an earlier, killed or finished study are taken as they are.
    """
    params, made = settings.load_params(), work / digest(sizes._replace(seeds=0))
    reference = settings.read_backbone(params["search"]["reference"])
    sections = [reference, params["pretrain"][TRAINING], params["tasks"][TASK]]
    wanted = {
        digest(made.name, sections, condition, seed): {
            "name": name,
            "condition": condition,
            "seed": seed,
        }
        for (name, condition), seed in product(CONDITIONS.items(), range(sizes.seeds))
    }

    def result(one: Run, show: Progress) -> Run:
        stores(folder, made / f"data-{one['seed']}", sizes, one["seed"])
        return {"accuracies": run(made, sizes, one["condition"], one["seed"], show)}

    return pursue("noise", work, wanted, result)


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noise", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    parser.add_argument("--work", type=Path, help="folder of what is kept (default .tagdag/noise)")
    parser.add_argument("--seeds", type=int, help="number of seeds (default 3)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few photographs and images; the table stays in the work folder",
    )
    given = parser.parse_args()
    work = given.work or settings.STATE / f"noise{'-quick' * given.quick}"
    sizes = QUICK if given.quick else Sizes()
    sizes = sizes._replace(seeds=given.seeds or sizes.seeds)
    shown = [*["--quick"] * given.quick, *([f"--seeds {given.seeds}"] if given.seeds else [])]
    command = (
        " ".join(["python -m benchmarks.noise", *shown]) if shown else "make repro RECIPE=noise"
    )
    with user_errors():
        check(given.packs)
        rows = study(given.packs, work, sizes)
        write(rows, sizes._asdict(), command, work if given.quick else RESULTS)


if __name__ == "__main__":
    main()
