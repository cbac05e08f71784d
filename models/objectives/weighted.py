"""Two objectives at once over one backbone and one head: a weighted sum of their losses.

As hashtags and self-supervision on the same images: Mu, Kirillov, Wagner, Xie 2021, "SLIP:
Self-supervision meets Language-Image Pre-training", arXiv 2112.12750, section 3, with hashtags in
the place of captions.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Method, Pace
from models.blocks.methods.multiview import MultiView
from models.blocks.methods.reading import asked
from models.blocks.ranges import Plug, Positive

__all__ = ["Weighted"]

SECOND = "second_"  # before the names of columns that the second objective sees


class Weighted(Method):
    """What the first sees under its own names, what the second sees under second_<name>.

    Each has views of its own of the same samples. Where one of the two classifies, the network is
    measured and asked as that one is.

    first: an objective.
    second: another; of two weighted sums in each other the inner one.
    weights: of the loss of each.
    """

    target: ClassVar[str] = "label"

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        first: Plug[Callable, "objectives"],  # noqa: F821
        second: Plug[Callable, "objectives"],  # noqa: F821
        weights: tuple[Positive, Positive] = (1.0, 1.0),
    ) -> None:
        super().__init__(backbone, head)
        if asked(first)[0] is Weighted:
            raise ValueError("first is a weighted sum itself: exchange first and second")
        self.classify = [_classifies(plug) for plug in (first, second)]
        trained = [parameter.requires_grad for parameter in head.parameters()]
        self.first, self.second = first(backbone, head), second(backbone, head)
        if any(self.classify):
            # one without classes has frozen the head, which the other trains
            for parameter, own in zip(head.parameters(), trained, strict=True):
                parameter.requires_grad_(own)
        self.names, self.weights = _names(first, second), weights
        self.reads = self.columns(first, second)
        parts = self._parts()
        for part, name in zip(parts, self.names, strict=True):
            _check_phases(part, name)
            _release(part)
        self.exact_in_parts = all(part.exact_in_parts for part in parts)
        self.shardable = all(part.shardable for part in parts)
        main = self._main()
        self.target, self.inputs, self.classifies = main.target, main.inputs, main.classifies
        self.column = main.column

    @classmethod
    def columns(
        cls, first: Any = None, second: Any = None, weights: Any = None
    ) -> dict[str, dict[str, Any]]:
        """What either reads."""
        plugs = list(filter(None, (first, second)))
        whole = {} if plugs else dict(cls.reads)
        for plug in plugs:
            found, settings = asked(plug)
            for name, options in found.columns(**settings).items():
                if whole.get(name) and options and whole[name] != options:
                    raise ValueError(
                        f"first and second read the column {name!r} by different options, "
                        f"{whole[name]} and {options}: give them the same"
                    )
                whole[name] = options or whole.get(name, {})
        return whole

    @staticmethod
    def facts(facts: dict[str, Any], first: Any, second: Any, weights: Any = None) -> dict:
        """Those of the one that classifies; ValueError where both do, and not alike."""
        classifying = list(filter(_classifies, (first, second)))
        found = []
        for made, settings in map(asked, classifying or [first]):
            found.append(made.facts(facts | {"target": made.target}, **settings))
        # of one kind and with the same classes, they ask the same question
        kinds = {asked(plug)[0] for plug in classifying}
        if len(kinds) > 1 or found[0] != found[-1]:
            raise ValueError(
                f"{' and '.join(_names(first, second))} both classify, and one head cannot answer "
                "two questions: take a method without classes for one of them"
            )
        return found[0]

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Both objectives' views; the second's draws follow the first's."""
        first, second = (part.views(batch, draws) for part in self._parts())
        return first | {f"{SECOND}{name}": column for name, column in second.items()}

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        """The sum, and what each objective gives, under its name."""
        own = {name: column for name, column in batch.items() if not name.startswith(SECOND)}
        other = {name: column for name, column in batch.items() if name.startswith(SECOND)}
        other = {name.removeprefix(SECOND): column for name, column in other.items()}
        whole, reported = 0.0, {}
        for name, part, weight, columns in zip(
            self.names, self._parts(), self.weights, (own, other), strict=True
        ):
            found = dict(part(columns))
            loss = found.pop("loss")
            whole = whole + weight * loss
            reported[name] = loss
            reported |= {f"{name}_{key}": value for key, value in found.items()}
        return {"loss": whole, **reported}

    def plain(self, images: Tensor) -> Tensor:
        return self._main().plain(images)

    def test_columns(self, columns: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return self._main().test_columns(columns)

    def input_shape(self, size: int) -> tuple[int, ...]:
        return self._main().input_shape(size)

    def test_views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        return self._main().test_views(batch, draws)

    def targets(self, view: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._main().targets(view)

    def logits(self, images: Tensor) -> Tensor:
        return self._main().logits(images)

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._main().predict(batch)

    def features(self, images: Tensor) -> Tensor:
        return self._main().features(images)

    def embedded(self, images: Tensor) -> Tensor:
        """Of the one without classes: what keeps the other's features apart are its classes."""
        compared = self.second if self.classify[0] else self.first
        return compared.embedded(images)

    def answers(self, images: Tensor) -> Tensor | None:
        """Likewise."""
        compared = self.second if self.classify[0] else self.first
        return compared.answers(images)

    def monitors(self) -> dict[str, float]:
        found = {}
        for name, part in zip(self.names, self._parts(), strict=True):
            found |= {f"{name}_{key}": value for key, value in part.monitors().items()}
        return found

    def before_step(self, pace: Pace) -> None:
        for part in self._parts():
            part.before_step(pace)

    def before_update(self) -> None:
        for part in self._parts():
            part.before_update()

    def after_step(self, progress: float) -> None:
        for part in self._parts():
            part.after_step(progress)

    def _parts(self) -> tuple[Method, Method]:
        return self.first, self.second

    def _main(self) -> Method:
        """The one that classifies; of two that do, and of two that do not, the first."""
        return self.second if self.classify == [False, True] else self.first


def _classifies(plug: Callable) -> bool:
    """Whether an objective trains the head; of a weighted sum whether one of its own does."""
    found, settings = asked(plug)
    if found is Weighted:
        return _classifies(settings["first"]) or _classifies(settings["second"])
    return not issubclass(found, MultiView)


def _names(first: Callable, second: Callable) -> tuple[str, str]:
    """The plug-ins' own; of two alike the second with a number."""
    own, other = (asked(plug)[0].__module__.rpartition(".")[2] for plug in (first, second))
    return own, f"{other}_2" if other == own else other


def _check_phases(part: Method, name: str) -> None:
    phases = part.phases()
    if list(phases) != [""] or phases[""][1]:
        raise ValueError(
            f"{name} has optimizers of its own ({', '.join(filter(None, phases)) or 'settings'}), "
            "which a weighted sum, updated as a whole, has no place for: take another objective"
        )


def _release(part: Method) -> None:
    """Backbone and head stay attributes, but not modules: the state has them once, of the sum."""
    for name in ("backbone", "head"):
        part.__dict__[name] = part._modules.pop(name)
