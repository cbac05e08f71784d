"""Sections of params.yaml become calls: keys checked against a signature, the name by a folder."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial, reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, PlainValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12

from engine.core.refusals import nearest_text, refusal_text

# empty, but in a copy of this code inside another package: its plug-ins are those beside it
PREFIX = __name__.removesuffix("engine.core.build")
# folders of plug-ins, of models/ but for the metrics
KINDS = ("backbones", "heads", "objectives", "views", "spaces", "slots", "policies", "metrics")


def options(
    function: Callable,
    section: dict,
    where: str,
    given: Collection[str] = (),
    ranges: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """The section's values, converted to the types of the function's parameters.

    Defaults stay with the function.

    where: path of the section in params.yaml, for messages. given: parameters that the caller
    passes itself. ranges: types in the place of those that a library's function has. Raises
    ValueError that names every unknown or missing key and every wrong value, and how to mend each.
    """
    fields, adapter = _checked(function, frozenset(given), tuple(ranges.items()))
    if not isinstance(section, dict):
        keys = ", ".join(fields)
        raise ValueError(f"{where}: found {section!r}, expected keys and values: {keys}")
    try:
        return adapter.validate_python(section)
    except ValidationError as error:
        raise ValueError(refusal_text(error.errors(), section, where, fields, given)) from None


# to make one takes milliseconds, and a grid has hundreds of sections for one function
@lru_cache(maxsize=256)
def _checked(
    function: Callable,
    given: frozenset[str],
    ranges: tuple[tuple[str, Any], ...],
) -> tuple[dict[str, Any], TypeAdapter]:
    """The fields that a section for the function may have, and what checks one."""
    fields = _fields(function, given, dict(ranges))
    # a TypedDict, because keys such as `copy` or `model_name` would clash with a BaseModel's own
    # attributes
    schema = TypedDict("schema", fields)
    schema.__pydantic_config__ = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )
    return fields, TypeAdapter(schema)


def _fields(
    function: Callable,
    given: Collection[str],
    ranges: Mapping[str, Any],
) -> dict[str, Any]:
    """Parameter names and types that a section may set."""
    fields = {}
    # eval_str: annotations of a library may be texts
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        # *args and **kwargs name no key, so that a section cannot set them
        if name in given or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = Any if parameter.annotation is parameter.empty else parameter.annotation
        kind = _exact(ranges.get(name, kind))
        fields[name] = kind if parameter.default is parameter.empty else NotRequired[kind]
    return fields


def _number(value: Any) -> Any:
    # pydantic would make 1 of "1" and of true: in a section either is a slip
    if isinstance(value, bool | str):
        raise ValueError("give a number, no word and no quotes")
    return value


def _exact(kind: Any) -> Any:
    """The type with numbers made of neither words nor true and false, as pydantic would."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in (int, float):
        return Annotated[kind, BeforeValidator(_number)]
    if origin is Annotated:
        if inner[1] in KINDS:
            return Annotated[Any, PlainValidator(partial(_plugged, inner[1]))]
        return Annotated[_exact(inner[0]), *inner[1:]]
    if origin in (None, Literal, Callable):
        return kind
    exact = tuple(map(_exact, inner))
    return reduce(or_, exact) if origin in (Union, UnionType) else origin[exact]


def _plugged(kind: str, section: Any) -> Any:
    """What makes the plug-in that a nested section names; a function stays what it is.

    What has no default, as a backbone or the number of classes, is for the part around it to give.
    """
    if callable(section):
        return section
    found, settings = resolve(kind, section, "its section", given=None)
    return partial(found, **settings)


def _holds_plugs(value: Any) -> bool:
    """Whether a setting has nested plug-ins: one, or a list or dictionary of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_holds_plugs, value))
    return isinstance(value, partial)


def choices(kind: str) -> list[str]:
    """Names that a section of this kind may carry: the files of models/<kind>, or of metrics.

    Files without a class of their own name are what plug-ins are made of.
    ValueError for two files that mean the same class.
    """
    folder = Path(import_module(_package(kind)).__file__).parent
    found: dict[str, str] = {}
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]):
        name = path.parent.name if path.stem == "__init__" else path.stem
        if path == folder / "__init__.py" or not name.isidentifier() or not _heads(path, name):
            continue
        twin = found.setdefault(_class_name(name), name)
        if twin != name or (path.stem == "__init__" and (folder / f"{name}.py").exists()):
            raise ValueError(
                f"{folder.name}: {twin!r} and {name!r} are two plug-ins of one name: rename one"
            )
    return sorted(found.values())


def _heads(path: Path, name: str) -> bool:
    """Whether a file has a class of its own name; read, for an import may take seconds."""
    classes = re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return _class_name(name) in map(_class_name, classes)


def _class_name(name: str) -> str:
    """A class's or a file's name as the two are compared: MeanAP is in mean_ap.py."""
    return name.replace("_", "").lower()


def _package(kind: str) -> str:
    assert kind in KINDS, f"no folder of plug-ins: {kind}"
    return f"{PREFIX}metrics" if kind == "metrics" else f"{PREFIX}models.{kind}"


def plugin(kind: str, name: Any, where: str) -> Callable:
    """The class of the plug-in called `name`: the one whose name is that of its file.

    ValueError lists the folder's names.
    """
    known = choices(kind)
    if name not in known:
        raise ValueError(
            f"{where}: unknown name {name!r}{nearest_text(str(name), known)} "
            f"(names: {', '.join(known)})"
        )
    module = import_module(f"{_package(kind)}.{name}")
    for key, found in vars(module).items():
        own = getattr(found, "__module__", "") == module.__name__
        if own and isinstance(found, type) and _class_name(key) == _class_name(name):
            return found
    raise AssertionError(f"{module.__name__} has no class of its name")  # `choices` has seen one


def resolve(
    kind: str, section: dict, where: str, given: Collection[str] | None = ()
) -> tuple[Callable, dict[str, Any]]:
    """(plug-in `section["name"]` of a folder, the section's other keys as `options` has them).

    given: as `options`; None: all that has no default and is not in the section.
    """
    if not isinstance(section, dict) or "name" not in section:
        raise ValueError(
            f"{where}: found {section!r}, expected a section with a name, one of: "
            f"{', '.join(choices(kind))}"
        )
    found = plugin(kind, section["name"], where)
    settings = {key: value for key, value in section.items() if key != "name"}
    if given is None:
        parameters = inspect.signature(found).parameters.items()
        given = {key for key, each in parameters if each.default is each.empty} - settings.keys()
    return found, options(found, settings, where, given)


# positional: a plug-in's own parameters may have these names
def build(kind: str, section: dict, /, where: str = "", **given: Any) -> Any:
    """The plug-in `section["name"]` of a folder, called with the other keys and what is `given`.

    build("backbones", {"name": "regnet", "depth": 22, ...}, where="pretrain.backbone"). Raises
    ValueError as `options`.
    """
    found, settings = resolve(kind, section, where or kind, given)
    with located(where or kind):
        return found(**settings, **given)


@contextmanager
def located(where: str) -> Iterator[None]:
    """Names the section in a ValueError of what is made from it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def with_defaults(kind: str, section: dict, where: str = "") -> dict[str, Any]:
    """The section with its plug-in's defaults written out; raises ValueError as `build`."""
    found, settings = resolve(kind, section, where or kind)
    bound = inspect.signature(found).bind(**settings)
    bound.apply_defaults()
    # nested plug-ins stay the sections that they are
    nested = {key: section[key] for key, value in settings.items() if _holds_plugs(value)}
    return {"name": section["name"], **bound.arguments, **nested}
