"""The code that travels with a registered version, as one package that needs no folder of ours.

It holds the closure of what flows/serving/model.py imports, with the plug-ins that the weight file
names, and nothing else. Its name is made of its content: a stranger's `models` or `engine` is never
taken for ours, and versions of different code load side by side in one process. Equal code gives
equal bytes.
"""

import ast
import functools
import json
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from engine.core.digest import digest
from engine.inference.scenes import finds
from engine.inference.videos import sees_clips
from flows.running import code

# not their names as texts: the stage that ships them depends on them
from flows.serving import model, scenemodel, videomodel

PREFIX = "tagdag_"
# what MLflow itself needs to load and to serve, and no import of ours tells of
ALWAYS = ("mlflow", "pandas", "pyarrow", "uvicorn")


class Package:
    """name: of the package. files: its bytes by path, such as tagdag_1a2b3c4d/engine/core/x.py.
    loader: the module that MLflow calls. requirements: as in requirements.txt, pinned.
    """

    def __init__(self, sources: Mapping[str, str], loader: str = model.__name__) -> None:
        """sources: text by path below the project. loader: of them the module that is called."""
        # the names of the folder's packages are part of the content: a rename is another package
        self.name = PREFIX + digest(sorted(sources.items()))[:8]
        made = {path: renamed(text, self.name, path) for path, text in sources.items()}
        for path in sources:
            for folder in Path(path).parents:
                # empty: ours set the waiting of threads, and look into a second folder
                made.setdefault((folder / "__init__.py").as_posix(), "")
        self.files = {f"{self.name}/{path}": made[path].encode() for path in sorted(made)}
        self.loader = f"{self.name}.{loader}"
        self.requirements = requirements(sources)

    def write(self, folder: Path) -> None:
        """Write the package into a folder, which then is one of sys.path."""
        for path, data in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)


def package(sections: dict[str, Any]) -> Package:
    """The package for a network of these sections: backbone, objective, head, maybe policy."""
    return _package(json.dumps(sections, sort_keys=True))


@functools.lru_cache(maxsize=32)  # a stage registers many models of few kinds
def _package(sections: str) -> Package:
    found = json.loads(sections)
    loader = loader_of(found)
    modules = [loader, *code.plugins(found)]
    # nothing aside: what only checks is imported all the same
    files = code.closure(modules, aside=frozenset())
    named = {file.relative_to(code.ROOT).as_posix(): file for file in files}
    texts = {path: file.read_text(encoding="utf-8") for path, file in named.items()}
    return Package(texts, loader)


def loader_of(sections: Mapping[str, Any]) -> str:
    """The module that MLflow calls for a network of these sections."""
    if finds(sections):
        return scenemodel.__name__
    return videomodel.__name__ if sees_clips(sections) else model.__name__


def renamed(text: str, package: str, path: str) -> str:
    """A module's text whose imports of the project's folders begin with the package's name.

    AssertionError for an import that binds the folder's own name, such as `import engine.core.x`.
    """
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.ImportFrom) and _ours(node.module):
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace("from ", f"from {package}.", 1)
        elif isinstance(node, ast.Import) and any(_ours(alias.name) for alias in node.names):
            [alias] = node.names
            assert alias.asname, f"{path}:{node.lineno}: import it by from, or give it a name"
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace("import ", f"import {package}.", 1)
    return "".join(lines)


def _ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] in code.ROOMS


def _imports(text: str) -> Iterator[str]:
    """First names of all modules that a text imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def requirements(sources: Mapping[str, str]) -> list[str]:
    """The distributions that these files import, and what MLflow needs, with the versions here."""
    names = set(chain.from_iterable(map(_imports, sources.values())))
    foreign = names - sys.stdlib_module_names - set(code.ROOMS)
    known = _distributions()
    wanted = {known[name] for name in foreign} | set(ALWAYS)
    # without +cpu and the like, which no public index has
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in sorted(wanted)]


@functools.cache
def _distributions() -> dict[str, str]:
    """The distribution of each importable name; a name of several takes the first by alphabet."""
    found = metadata.packages_distributions()
    return {name: min(owners, key=str.lower).lower() for name, owners in found.items()}
