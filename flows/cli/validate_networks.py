"""Parts of a network, data, metric and policy that fit each other: made, and asked once."""

import itertools
from functools import partial
from typing import Any

import torch

from corpus.names import checked_set
from corpus.records.kind import kind, kinds
from corpus.store.read import kind_of
from engine.core.build import build, located, options, plugin
from engine.core.network import CURES, check_inputs, columns_read, network
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe
from engine.transfer.freezing import freeze_layers
from engine.transfer.weights import check_section, init_keys, init_of
from flows.cli.sections import trained_sections
from flows.cli.validate_labels import DATA
from flows.data.made import BESIDE, is_made
from flows.running import settings
from flows.training.monitoring import LABEL, Monitor
from models.blocks.augment.draws import Draws
from models.blocks.methods.reading import PIXELS

SIDE = 32  # pixels of the images that a policy is tried on
HASHTAGS = "hashtags"  # the posts, and the column that makes a data set posts
# what a policy and a metric are tried with, in the place of any candidate: they know no backbone
TRIED = {"name": "regnet", "depth": 2, "w_0": 8, "w_a": 8.0, "w_m": 2.0, "group_width": 8}
FEWEST = 2  # classes and samples, as long as there is no data that tells how many


def validate_networks(
    params: dict[str, Any], whole: dict[str, Any], reference: dict[str, Any]
) -> None:
    """ValueError where parts of a training or a task do not fit, with cause and fix.

    reference: the backbone that stands for the winner of a search which is still to come.
    """
    for place, section in trained_sections(whole):
        heads = section.get("heads", {"": section.get("head")})
        for name, own in heads.items():
            head = {"name": name} | own if name else own
            at = f"{place}.heads.{name}" if name else place
            for backbone in _backbones(params, section, reference):
                made = _made(backbone, section["objective"], head, at)
                check_inputs(made, at)
                validate_trained(made, params, section, place)
            if "metric" in section:
                validate_answers(section, head, place)
        validate_inits(section, place)
        where = f"{place}.recipe"
        # a layer of any size: an optimizer refuses an empty list of parameters
        optimizer(Recipe(**options(Recipe, section["recipe"], where)), torch.nn.Linear(1, 1), where)
        # a search of no trials reads nothing
        if section.get("trials") != 0:
            validate_columns(section, place, _labelled(section["data"], whole))
        if section.get("monitor") is not None:
            validate_monitor(section, f"{place}.monitor")


def validate_monitor(section: dict[str, Any], where: str) -> None:
    """ValueError for numbers out of range, images without a class, weights that lie in parts."""
    data = Monitor(**options(Monitor, section["monitor"], where)).data
    if section["recipe"].get("sharded"):
        raise ValueError(
            f"{where}: one worker measures, and recipe.sharded splits the weights over all: remove "
            "either"
        )
    if data is None:
        return
    checked_set(data, f"{where}.data")
    if LABEL not in _columns_of(data):
        raise ValueError(
            f"{where}.data: neighbours tell one class per image, and {data} has "
            f"{', '.join(_columns_of(data))}: take targets/<a set with labels>, or null"
        )


def validate_trained(
    made: torch.nn.Module, params: dict[str, Any], section: dict[str, Any], place: str
) -> None:
    """ValueError where a backbone does not take its input, or has not what is to be frozen.

    made: the network.
    """
    side = section.get("resolution") or params["corpus"].get("size", settings.SIZE)
    backbone, shape = made.backbone, made.input_shape(side)
    with located(place):
        if hasattr(backbone, "check_side"):
            backbone.check_side(shape[-1])
        if hasattr(backbone, "check_clip"):
            backbone.check_clip(shape[1], shape[-1])
        freeze_layers(backbone, section.get("freeze"))


def validate_inits(section: dict[str, Any], place: str) -> None:
    """ValueError where weights that a training starts from are missing, with what to fetch."""
    found = []
    if section.get("init"):
        found.append((f"{place}.init", section["init"], section["candidate"]))
    for name, one in section.get("released", {}).items():
        own = init_keys(one)
        found.append((f"{place}.released.{name}", own, one["candidate"]))
    for where, own, candidate in found:
        init = init_of(own, where)
        if init.file.parts[:1] == settings.OUT.parts:
            raise ValueError(
                f"{where}.file: {init.file} is written by a stage, and deleted before it: name a "
                "pretraining in inits, or copy the file to another folder"
            )
        check_section(own, settings.backbone_section(candidate), where)


def _backbones(
    params: dict[str, Any], section: dict[str, Any], reference: dict[str, Any]
) -> list[dict[str, Any]]:
    """The networks of a training or a task, as far as they are known."""
    names = [section["candidate"]] if "candidate" in section else []
    if "inits" in section:
        names = settings.task_candidates(section)
    committed = [n for n in names if not _written(params["candidates"][n]["section"])]
    found = [settings.backbone_section(name) for name in committed]
    return found if len(found) == len(names) and names else [*found, reference]


def _written(file: str) -> bool:
    """Whether a stage writes the file."""
    return file.startswith(f"{settings.OUT}/")


def _made(
    backbone: dict[str, Any], objective: dict[str, Any], head: dict[str, Any], where: str
) -> torch.nn.Module:
    try:
        facts = _facts(head)
        with torch.device("meta"):
            return network(backbone, objective, head, where=where, **facts)
    except (RuntimeError, OverflowError) as error:  # sizes beyond 64 bits
        what = f"no memory holds such a network ({str(error).splitlines()[0][:100]})"
        raise ValueError(f"{where}: {what}: give smaller numbers") from None


def _labelled(data: str, whole: dict[str, Any]) -> str:
    """The data set that is in the corpus: of one that a network labels, the task's."""
    seen = []
    while is_made(data):
        name = data.removeprefix(BESIDE)
        if name in seen:
            raise ValueError(
                f"materialise.{name}: the task whose networks label it trains on it: name another"
            )
        seen.append(name)
        data = whole["tasks"][whole["materialise"][name]["task"]]["data"]
    return data


def validate_columns(section: dict[str, Any], place: str, data: str) -> None:
    """ValueError where an objective reads what the data has not."""
    known, name = _columns_of(data), section["objective"]["name"]
    for column in columns_read(section["objective"], f"{place}.objective"):
        if column not in known:
            pixels = [each for each in PIXELS if each in known]
            fix = CURES[pixels[0]] if column in PIXELS and pixels else "take another objective"
            raise ValueError(
                f"{place}.objective: {name} reads the column {column!r}, and {data} has "
                f"{', '.join(known)}: {fix}, or other data"
            )


def _columns_of(data: str) -> list[str]:
    """The columns of a data set; of one that is not there those that any such may have."""
    store = DATA / ("posts" if data == HASHTAGS else data)
    if (store / "store.json").is_file():
        return list(kind_of(store, store.name if data == HASHTAGS else data).columns)
    found = {name: kind(name).columns for name in kinds()}
    # posts are what comes with hashtags
    alike = [own for own in found.values() if (HASHTAGS in own) == (data == HASHTAGS)]
    return list(dict.fromkeys(itertools.chain.from_iterable(alike)))


def validate_answers(section: dict[str, Any], head: dict[str, Any], place: str) -> None:
    """ValueError where a metric reads what the policy does not give: asked of two black images."""
    policy = section.get("policy", {"name": "plain"})
    metric = plugin("metrics", section["metric"]["name"], f"{place}.metric")
    module = network(TRIED, section["objective"], head, where=place, **_facts(head)).eval()
    if module.column == "clip":
        module.backbone = FirstFrame(module.backbone)
    read = columns_read(section["objective"], f"{place}.objective")
    scenes = getattr(module, "scenes", False)
    batch = {name: _example(name, options, scenes) for name, options in read.items()}
    draws = Draws(torch.Generator().manual_seed(0), 0, FEWEST)
    ask = build("policies", policy, where=f"{place}.policy")
    with torch.no_grad(), located(place):
        predictions, targets = ask(module, batch, draws)
    given = [*predictions, *targets]
    for wanted in (*metric.reads.predictions, *metric.reads.targets):
        either = (wanted,) if isinstance(wanted, str) else wanted
        if not set(either) & set(given):
            raise ValueError(
                f"{place}.metric: {section['metric']['name']} reads {' or '.join(either)}, and "
                f"the policy {policy['name']} gives {', '.join(given)}: take another metric, "
                "policy or objective"
            )


def _facts(head: dict[str, Any]) -> dict[str, Any]:
    """What is known of the data: no more than what the settings of a head name of it."""
    lists = [value for value in head.values() if isinstance(value, list)]
    named = [name for name in itertools.chain.from_iterable(lists) if isinstance(name, str)]
    # and some others: a list that holds all classes may be wrong
    names = [*dict.fromkeys(named), *(f"another {number}" for number in range(FEWEST))]
    return {"classes": len(names), "names": names, "samples": FEWEST}


def _example(name: str, options: dict[str, Any], scenes: bool) -> Any:
    """A column of two samples: black squares, of a video the clips of them that are read.

    scenes: whether images come in a list, with objects or segments beside them: none.
    """
    squares = (SIDE, SIDE, 3)
    if scenes:
        image = torch.zeros(squares, dtype=torch.uint8)
        empty = {"image": image, "boxes": torch.zeros(0, 4), "sides": torch.tensor([SIDE, SIDE])}
        empty["masks"] = torch.zeros(0, SIDE, SIDE, dtype=torch.bool)
        empty["panoptic"] = torch.zeros(SIDE, SIDE, dtype=torch.int32)
        flags = name.endswith(("crowd", "ignore", "known", "thing"))
        usual = torch.zeros(0, dtype=torch.bool if flags else torch.int64)
        return [empty.get(name, usual)] * FEWEST
    shapes = {"image": partial(torch.zeros, FEWEST, *squares, dtype=torch.uint8)}
    clips = options.get("clips", 1), options.get("frames", 1)
    shapes["clip"] = partial(torch.zeros, FEWEST, *clips, *squares, dtype=torch.uint8)
    shapes["label"] = partial(torch.zeros, FEWEST, dtype=torch.int64)
    return shapes.get(name, partial(torch.zeros, FEWEST, FEWEST))()


class FirstFrame(torch.nn.Module):
    """A backbone of images in the place of one of clips, of which it sees the first frame."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone, self.channels = backbone, backbone.channels

    def forward(self, clips: torch.Tensor) -> list[torch.Tensor]:
        return self.backbone(clips[:, :, 0])
