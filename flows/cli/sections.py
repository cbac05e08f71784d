"""Sections of params.yaml, held to the signatures of their flows; it imports no torch."""

import importlib
import inspect
from typing import Any

from engine.core.build import options
from flows.running.settings import EACH, NAMED, OPTIONAL, PARAMS, STAGES, section_place


def complete_section(stage: str, section: Any, name: str | None = None) -> dict[str, Any]:
    """The section with its defaults written out; ValueError as engine.core.build.options.

    name: of the training or the task that it is of.
    """
    function = inspect.unwrap(getattr(importlib.import_module(f"flows.{stage}"), stage))
    parameters = inspect.signature(function).parameters
    # the first is the name, which the command line gives
    named = list(parameters)[:1] if stage in EACH else []
    given = options(function, section, section_place(stage, name), given=named)
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    return defaults | given


def complete_params(params: dict[str, Any]) -> dict[str, Any]:
    """All sections of stages, complete: `pretrain` and `tasks` by name, the others as they are."""
    found: dict[str, Any] = {}
    for stage in STAGES:
        if stage not in NAMED:
            found[stage] = complete_section(stage, params[stage])
            continue
        section = NAMED[stage]
        named = params[section]
        if not isinstance(named, dict) or not (named or section in OPTIONAL):
            wanted = "write a name for each, and its section below it"
            raise ValueError(f"{PARAMS}: {section}: found {named!r}: {wanted}")
        found[section] = {name: complete_section(stage, named[name], name) for name in named}
    return found


def trained_sections(whole: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(place in params.yaml, section) of all that trains: the search, each training and task."""
    found = [("search", whole["search"])]
    for section in ("pretrain", "tasks"):
        found += [(f"{section}.{name}", own) for name, own in whole[section].items()]
    return found
