"""The command line of every metric: python -m metrics.<name> PREDICTIONS [TARGETS]."""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import TypeAdapter, ValidationError

from metrics.blocks.metric import Metric
from metrics.formats import tables
from metrics.formats.pair import Pair

SHOWN = 10  # rows of details
NAMED = ("class", "predicted")  # columns of details that are classes
ENTRY = re.compile(r"^(\w+): ((?:.+\n?)+?)(?=^\w+: |^$|\Z)", re.MULTILINE)  # of a docstring

WHERE = typer.Option(help="COLUMN=VALUE: only these rows of PREDICTIONS, which is a table.")
COMMON = typer.Option("--common", help="Count the samples that both files have, and no others.")
PICTURE = typer.Option(help="Draw what the metric has to show into this file, .png or .svg.")
JSON = typer.Option("--json", help="Print JSON.")


def main(metric: Callable[..., Metric]) -> None:
    """Compute a metric from two files; its parameters are options."""
    reader = reader_of(metric)
    given = typer.Argument(exists=True, help=(reader.__doc__ or "").partition("\n")[0])
    true = typer.Argument(exists=True, help="The truth; none where one table has both.")

    def command(
        predictions: Annotated[Path, given],
        targets: Annotated[Path | None, true] = None,
        where: Annotated[list[str] | None, WHERE] = None,
        common: Annotated[bool, COMMON] = False,
        picture: Annotated[Path | None, PICTURE] = None,
        as_json: Annotated[bool, JSON] = False,
        **options: Any,
    ) -> None:
        try:
            _within(metric, options)
            made = metric(**options)
            chosen = dict(map(_pair, where or ()))
            read = read_pair(made, predictions, targets, common, chosen)
            made.update(read.predictions, read.targets)
            typer.echo(_json(made, read.names) if as_json else _text(made, read.names))
            _draw(made, read.names, picture)
        except ValueError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None

    about = inspect.getdoc(metric) or ""
    own = inspect.signature(command, eval_str=True)
    fixed = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
    options = _options(metric, dict(ENTRY.findall(about)))
    command.__signature__ = own.replace(parameters=[*fixed, *options])
    command.__doc__ = about.partition("\n\n")[0]
    typer.run(command)


def reader_of(metric: Any) -> ModuleType:
    """The module of metrics/formats that reads a metric's two files."""
    return import_module(f"metrics.formats.{getattr(metric, 'files', 'tables')}")


def read_pair(
    metric: Metric,
    predictions: Path,
    targets: Path | None,
    common: bool = False,
    where: Mapping[str, str] | None = None,
) -> Pair:
    """What a metric reads of two files, as its format says; `where`: of tables.

    ValueError with cause and fix where a file cannot be used.
    """
    # a table has whatever a metric reads
    reader = tables if predictions.suffix == ".parquet" else reader_of(metric)
    if "where" in inspect.signature(reader.read).parameters:
        return reader.read(predictions, targets, metric.reads, common, where)
    if where:
        raise ValueError("--where chooses rows of a table, which these files are not: leave it out")
    if targets is None:
        raise ValueError(f"{predictions} has no truth beside it: name the file that has, too")
    return reader.read(predictions, targets, metric.reads, common)


def _draw(metric: Metric, names: Sequence[str], file: Path | None) -> None:
    if file is None:
        return
    if not hasattr(metric, "picture"):
        raise ValueError("--picture: this metric has none: leave it out")
    from metrics.cli.drawing import draw  # matplotlib, for which nobody else need wait

    draw(metric.picture(), file, dict(enumerate(names)))


def _options(metric: Callable[..., Metric], about: Mapping[str, str]) -> list[inspect.Parameter]:
    """The metric's parameters, as typer knows them; about: what its docstring says of each."""
    found = []
    for parameter in inspect.signature(metric, eval_str=True).parameters.values():
        option = typer.Option(help=about.get(parameter.name))
        kind = Annotated[_plain(parameter.annotation), option]
        found.append(parameter.replace(annotation=kind, kind=parameter.KEYWORD_ONLY))
    return found


def _plain(kind: Any) -> Any:
    """A type without its range, which typer does not know."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) is Sequence:
        return list[_plain(get_args(kind)[0])]
    return kind


def _within(metric: Callable[..., Metric], options: Mapping[str, Any]) -> None:
    """ValueError for an option out of its range."""
    signature = inspect.signature(metric, eval_str=True)
    for name, value in options.items():
        try:
            TypeAdapter(signature.parameters[name].annotation).validate_python(value)
        except ValidationError as error:
            raise ValueError(f"--{name} {value}: {error.errors()[0]['msg']}") from None


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"--where {text}: give COLUMN=VALUE")
    return name, value


def _details(metric: Metric, names: Sequence[str]) -> list[dict[str, Any]]:
    """Its rows, with classes by their names where these are known."""
    rows = metric.rows() if hasattr(metric, "rows") else []
    known = dict(enumerate(names))
    for row in rows:
        row |= {key: known.get(row[key], row[key]) for key in NAMED if key in row}
    return rows


def _json(metric: Metric, names: Sequence[str]) -> str:
    found: dict[str, Any] = metric.compute()
    rows = _details(metric, names)
    return json.dumps(found | {"rows": rows} if rows else found, indent=2)


def _text(metric: Metric, names: Sequence[str]) -> str:
    numbers = metric.compute()
    intervals = {key.removesuffix("_low") for key in numbers if key.endswith("_low")}
    ends = {f"{key}{end}" for key in intervals for end in ("_low", "_high")}
    lines = []
    for key in [key for key in numbers if key not in ends]:
        line = f"{key:12} {_number(numbers[key])}"
        if key in intervals:
            low, high = (_number(numbers[f"{key}{end}"]) for end in ("_low", "_high"))
            line += f"  (95 % interval {low} to {high})"
        lines.append(line)
    rows = _details(metric, names)
    if rows:
        lines += ["", *_table(rows[:SHOWN])]
    if len(rows) > SHOWN:
        lines.append(f"... {len(rows)} rows in all, with --json")
    return "\n".join(lines)


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows in columns, headed by their names."""
    cells = [list(rows[0]), *(list(map(_number, row.values())) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.rjust, line, widths)) for line in cells]


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
