"""params.yaml as text becomes a dictionary; what is no YAML is told with its line and its fix."""

import copy
import functools
import re
from pathlib import Path
from typing import Any

import yaml

# of YAML 1.2, as DVC reads the file: a number without a dot may have an exponent too
FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: the last one would count, without a word."""

    # before anything is constructed, when merge keys (<<) put the keys of others into a mapping
    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[str, yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in first:
                lines = f"lines {first[key.value].line + 1} and {key.start_mark.line + 1}"
                twice = f"the key {key.value!r} stands twice in one section"
                raise ValueError(f"{lines}: {twice}: take one away")
            first[key.value] = key.start_mark
        return node


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


# by content: a check of params.yaml asks for it twenty times, and parsing takes 20 ms
@functools.lru_cache(maxsize=8)
def _loaded(text: str) -> Any:
    return yaml.load(text, _Loader)  # a SafeLoader


def parsed(path: Path) -> Any:
    """What a YAML file holds; ValueError says where it is no YAML, no UTF-8, or has a key twice."""
    try:
        # utf-8-sig: editors on Windows put a byte order mark first
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: is not UTF-8: save it as UTF-8") from None
    try:
        # a copy of its own for each who asks: some add to it
        return copy.deepcopy(_loaded(text))
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{path} is not YAML: {_place(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = "a character that YAML does not allow"
        raise ValueError(f"{path} is not YAML: line {line}: {what}") from None
    except RecursionError:
        raise ValueError(f"{path} is not YAML: its brackets are nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None


def _place(error: yaml.MarkedYAMLError) -> str:
    """Line, column and cause of a fault; where a bracket or a quote was opened, too."""
    mark, begun = error.problem_mark, error.context_mark
    where = f"{_at(mark or begun)}: {error.problem}"
    if begun is None or mark is None or begun.line == mark.line:
        return where
    return f"{where} ({error.context} that begins in {_at(begun)})"


def _at(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"
