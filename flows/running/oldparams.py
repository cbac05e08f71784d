"""A params.yaml of the shape before trainings and tasks had names: what to write in its place.

There one section `pretrain` held for all candidates, and one section `finetune` for all labelled
sets; protocols were modes, and the reference of the search stood in params.yaml itself.
"""

from typing import Any

import yaml

HEADS = {"full": "linear", "linear": "logistic", "knn": "knn"}  # of the modes
REFERENCE = "candidates/reference.yaml"
WINNER = "out/search/winner.yaml"
SECTIONS = {"baseline": REFERENCE, "winner": WINNER}  # where a candidate's network now stands


def refuse_old_shape(params: dict[str, Any]) -> None:
    """ValueError with the same numbers in the present shape, where params are of the old one."""
    candidates = params.get("candidates")
    kinds = candidates.values() if isinstance(candidates, dict) else ()
    if "finetune" not in params and not any(isinstance(kind, str) for kind in kinds):
        return
    said = (
        "params.yaml: each training and each task now has a name of its own, and `finetune` is "
        "gone. These are your numbers as they are written now: put them in the file's place"
    )
    raise ValueError(f"{said}\n\n{new_text(params)}")


def new_text(params: dict[str, Any]) -> str:
    """The present params.yaml with the numbers of an old one, as text.

    What is missing in the old one is missing here too: the check of params.yaml then says so.
    """
    found = new_shape(params)
    search = params.get("search")
    reference = search.get("reference") if isinstance(search, dict) else None
    text = yaml.dump(found, Dumper=_Plain, sort_keys=False, width=100)
    if not isinstance(reference, dict):
        return text
    section = yaml.dump(reference, Dumper=_Plain, sort_keys=False)
    return f"{text}\nand in {REFERENCE}\n\n{section}"


class _Plain(yaml.SafeDumper):
    """Writes what stands at two places twice, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def new_shape(params: dict[str, Any]) -> dict[str, Any]:
    """The sections of the present shape."""
    kinds = _mapping(params, "candidates")
    candidates = {}
    for name, kind in kinds.items():
        # the search handed on no others
        section = SECTIONS.get(name, WINNER)
        candidates[name] = {"backbone": kind, "section": section}
    found = {"candidates": candidates}
    for name in ("corpus", "search"):
        found[name] = dict(_mapping(params, name))
    if "reference" in found["search"]:
        found["search"]["reference"] = REFERENCE
    own = _mapping(params, "pretrain")
    found["pretrain"] = {}
    for name, about in candidates.items():
        shared = {"candidate": name, "data": "hashtags", "metric": {"name": "accuracy"}}
        found["pretrain"][f"{name}-hashtags"] = about | shared | own
    found["tasks"] = _tasks(params, list(found["pretrain"]))
    costs = _mapping(params, "evaluate")
    found["evaluate"] = {key: value for key, value in costs.items() if key != "targets"}
    found["register"] = dict(_mapping(params, "register"))
    return found


def _mapping(params: dict[str, Any], name: str) -> dict[str, Any]:
    """A section; empty where there is none, for the message is about the shape alone."""
    found = params.get(name)
    return found if isinstance(found, dict) else {}


def _tasks(params: dict[str, Any], trainings: list[str]) -> dict[str, Any]:
    """A task for each labelled set; first that which decided who is champion."""
    old = dict(_mapping(params, "finetune"))
    tuned = old.pop("targets", [])
    tested = _mapping(params, "evaluate").get("targets", [])
    inits = []
    for init in old.pop("inits", ["pretrained", "scratch"]):
        inits += trainings if init == "pretrained" else [init]
    heads = {HEADS.get(mode, mode): {} for mode in old.pop("modes", HEADS)}
    labels = old.pop("labels_per_class", [20])
    # a head of its own had only what was trained whole
    own = dict(old.pop("head", {"name": "linear"}))
    name = own.pop("name", "linear")
    if "linear" in heads and (own or name != "linear"):
        heads = {name if head == "linear" else head: heads[head] for head in heads} | {name: own}
    shared = {"inits": inits, "heads": heads, "labels": labels, "metric": {"name": "accuracy"}}
    shared |= {"policy": {"name": "plain"}} | old
    ordered = [*tested, *(target for target in tuned if target not in tested)]
    return {target: {"data": f"targets/{target}"} | shared for target in ordered}
