"""Params sections become calls: a section's keys are checked against a signature, its name against a folder."""

import inspect
from collections.abc import Callable, Collection
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NotRequired

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12


def options(function: Callable, section: dict, where: str, given: Collection[str] = ()) -> dict[str, Any]:
    """The section's values, converted to the types of the function's parameters; defaults stay with the function.

    where: path of the section in params.yaml, for messages. given: parameters that the caller passes itself.
    Raises ValueError that names every unknown or missing key and every wrong value, and how to mend each.
    """
    if not isinstance(section, dict):
        raise ValueError(f"{where}: found {section!r}, expected keys and values: {', '.join(_fields(function, given))}")
    fields = _fields(function, given)
    # a TypedDict, because keys such as `copy` or `model_name` would clash with a BaseModel's own attributes
    schema = TypedDict("schema", fields)
    schema.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    try:
        return TypeAdapter(schema).validate_python(section)
    except ValidationError as error:
        faults = [_fault(fault, fields, given) for fault in error.errors()]
        raise ValueError(f"{where}: {'; '.join(faults)} (keys: {', '.join(fields) or 'none'})") from None


def _fields(function: Callable, given: Collection[str]) -> dict[str, Any]:
    """Parameter names and types that a section may set."""
    fields = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if name in given or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[name] = kind if parameter.default is parameter.empty else NotRequired[kind]
    return fields


def _fault(fault: dict, fields: dict, given: Collection[str]) -> str:
    """One sentence on one of pydantic's errors."""
    key = str(fault["loc"][0])
    if fault["type"] == "missing":
        return f"missing key '{key}', add it"
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        if key in given:
            return f"key '{key}' is set by the code, remove it"
        return f"unknown key '{key}'{_nearest(key, fields)}"
    return f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg']}"


def _nearest(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ", remove it"


def choices(kind: str) -> list[str]:
    """Names that a section of this kind may carry: the files of models/<kind>, or of metrics."""
    folder = Path(import_module(_package(kind)).__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__" and path.stem.isidentifier())


def _package(kind: str) -> str:
    assert kind in ("backbones", "heads", "objectives", "spaces", "metrics"), f"no folder of plug-ins: {kind}"
    return "metrics" if kind == "metrics" else f"models.{kind}"


def plugin(kind: str, name: Any, where: str) -> Callable:
    """The class that heads `__all__` of the plug-in called `name`; ValueError lists the folder's names."""
    known = choices(kind)
    if name not in known:
        raise ValueError(f"{where}: unknown name {name!r}{_nearest(str(name), known)} (names: {', '.join(known)})")
    module = import_module(f"{_package(kind)}.{name}")
    return getattr(module, module.__all__[0])


def call(kind: str, section: dict, where: str, given: Collection[str] = ()) -> tuple[Callable, dict[str, Any]]:
    """The plug-in `section["name"]` of a folder, and the section's other keys as `options` has them."""
    if not isinstance(section, dict) or "name" not in section:
        raise ValueError(
            f"{where}: found {section!r}, expected a section with a name, one of: {', '.join(choices(kind))}"
        )
    found = plugin(kind, section["name"], where)
    settings = {key: value for key, value in section.items() if key != "name"}
    return found, options(found, settings, where, given)


def build(kind: str, section: dict, /, where: str = "", **given: Any) -> Any:
    """The plug-in `section["name"]` of a folder, called with the section's other keys and what the caller gives.

    build("backbones", {"name": "regnet", "depth": 22, ...}, where="pretrain.backbone"). Raises ValueError as `options`.
    """
    found, settings = call(kind, section, where or kind, given)
    return found(**settings, **given)


def complete(kind: str, section: dict, where: str = "") -> dict[str, Any]:
    """The section with its plug-in's defaults written out; raises ValueError as `build`."""
    found, settings = call(kind, section, where or kind)
    bound = inspect.signature(found).bind(**settings)
    bound.apply_defaults()
    return {"name": section["name"], **bound.arguments}
