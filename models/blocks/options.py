"""Settings that a plug-in hands on to the class that it rests on: written down there alone."""

import inspect
from typing import Any

__all__ = ["with_options"]


def with_options(cls: type) -> inspect.Signature:
    """The signature of a class whose __init__ hands **options on to the class that it rests on.

    A base sets it as `__signature__` of each of its subclasses, so that params.yaml is held to the
    settings of both.
    """
    own = list(inspect.signature(cls.__init__, eval_str=True).parameters.values())[1:]
    if own[-1].kind is not inspect.Parameter.VAR_KEYWORD:
        return inspect.Signature(own)
    named = {parameter.name for parameter in own}
    base: Any = cls.__mro__[1]
    rest = inspect.signature(base, eval_str=True).parameters.values()
    handed = [parameter for parameter in rest if parameter.name not in named]
    return inspect.Signature(own[:-1] + handed)
