"""What a signature and its docstring say of each parameter, as words: for flows/tools/settings.py.

A docstring describes a parameter as `name: what it is.`, or several as `one, other: what they are.`
"""

import dataclasses
import inspect
import re
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml

NAMES = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}
BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
# `one, other: ` where a sentence begins, with or without backticks
ENTRY = re.compile(r"(?:^|(?<=\. ))((?:`?\w+`?(?:, | and ))*`?\w+`?): ")
SEE = re.compile(r"see (\w+)\.?$", re.IGNORECASE)


class Parameter(NamedTuple):
    """One parameter in words. `default` is "" where a value has to be given."""

    name: str
    kind: str
    default: str
    about: str


def kind_in_words(annotation: Any) -> str:
    """The type and range of an annotation: `whole number ≥ 1, or null`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(inner[0], inner[1:])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return ", or ".join(dict.fromkeys(map(kind_in_words, inner)))
    if annotation is type(None):
        return "`null`"
    if origin is dict or annotation is dict:
        return "section"
    if origin is tuple and inner[-1] is not Ellipsis:
        return _pair(inner)
    if origin in (tuple, list, Sequence):
        return f"list of: {kind_in_words(inner[0])}"
    return NAMES.get(annotation, "any")


def _pair(inner: Sequence[Any]) -> str:
    kinds = list(map(kind_in_words, inner))
    if len(set(kinds)) > 1 or len(kinds) != 2:
        return f"[{', '.join(kinds)}]"
    return f"pair of: {kinds[0]}"


def _annotated(kind: Any, metadata: Iterable[Any]) -> str:
    """A type with its bounds, and what a validator of models/blocks/ranges.py asks besides."""
    told, more = kind_in_words(kind), []
    if metadata and isinstance(metadata[0], str):  # the folder of a nested plug-in
        return "section"
    for found in metadata:
        bounds = getattr(found, "metadata", [found])  # pydantic's Field holds several
        for bound in bounds:
            more += [
                f"{sign} {getattr(bound, name):,}"
                for name, sign in BOUNDS.items()
                if getattr(bound, name, None) is not None
            ]
        asks = getattr(getattr(found, "func", None), "__doc__", None)
        told += f" ({asks.strip().rstrip('.').lower()})" if asks else ""
        if any(getattr(bound, "min_length", None) for bound in bounds):
            told = told.replace("list of", "list of one or more", 1)
    return f"{told} {' and '.join(more)}".strip()


def as_yaml(value: Any) -> str:
    """A default as params.yaml would have it."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("...\n").strip()


def _default(function: Callable, parameter: inspect.Parameter) -> str:
    """A parameter's default; "" for none. A dataclass hides what it makes anew for each object."""
    if dataclasses.is_dataclass(function):
        fields = {field.name: field for field in dataclasses.fields(function)}
        make = fields[parameter.name].default_factory
        if make is not dataclasses.MISSING:
            return as_yaml(make())
    return "" if parameter.default is parameter.empty else as_yaml(parameter.default)


def sentences(text: str | None, names: Iterable[str]) -> dict[str, str]:
    """What a docstring says of each of these parameters, in an entry of its own."""
    found: dict[str, str] = {}
    names = set(names)
    paragraphs = [
        " ".join(part.split()) for part in re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
    ]
    for paragraph in paragraphs:
        entries = list(ENTRY.finditer(paragraph))
        ends = [*(match.start() for match in entries), len(paragraph)][1:]
        for match, end in zip(entries, ends, strict=False):
            for name in names.intersection(_listed(match[1])):
                found.setdefault(name, paragraph[match.end() : end].strip())
    return found


def _listed(text: str) -> list[str]:
    return [name.strip("` ") for name in re.split(r", | and ", text)]


def _sentences_of(function: Callable, names: Sequence[str]) -> dict[str, str]:
    """The same of a function, or a class and what it stands on; `see Views` is followed."""
    bases = inspect.getmro(function) if inspect.isclass(function) else (function,)
    found: dict[str, str] = {}
    for base in bases:
        if base.__module__.startswith(("torch", "timm", "builtins")):
            continue
        known = vars(inspect.getmodule(base))
        for name, about in sentences(base.__doc__, names).items():
            see = SEE.search(about)
            if see:
                # of a class that this module does not know, one that it stands on tells
                about = sentences(getattr(known.get(see[1]), "__doc__", ""), names).get(name, "")
            if about:
                found.setdefault(name, about)
    return found


def parameters(
    function: Callable,
    given: Iterable[str] = (),
    ranges: dict[str, Any] | None = None,
) -> list[Parameter]:
    """The parameters of a function or class that a section sets, in their order.

    given: those that its caller sets. ranges: annotations in the place of a library's own.
    """
    signature = inspect.signature(function, eval_str=True).parameters
    named = [
        parameter
        for name, parameter in signature.items()
        if name not in given
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    about = _sentences_of(function, [parameter.name for parameter in named])
    return [
        Parameter(
            parameter.name,
            kind_in_words((ranges or {}).get(parameter.name, parameter.annotation)),
            _default(function, parameter),
            about.get(parameter.name, ""),
        )
        for parameter in named
    ]
