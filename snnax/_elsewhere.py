"""Arguments in the spelling of other libraries: refused, with what they are here."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def refuse_unknown(owner: str, unknown: Iterable[str], elsewhere: Mapping[str, str], takes: str) -> None:
    """Refuses arguments that `owner` does not know; `takes` is a sentence on those that it does."""
    names = list(unknown)
    if names:
        hints = "".join(f" {name!r} is {elsewhere[name]} here." for name in names if name in elsewhere)
        raise TypeError(f"`{owner}` takes no {', '.join(map(repr, names))}.{hints} {takes}")


def answering(owner: str, elsewhere: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function answer keyword arguments that it does not have, also where it lacks others.

    **Arguments:** `owner`: its name in messages; `elsewhere`: what others call the arguments, and what they are here.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = [name for name in inspect.signature(function).parameters if name != "self"]
        takes = f"It takes {', '.join(f'`{name}`' for name in known)}."

        @functools.wraps(function)
        def answered(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_unknown(owner, (name for name in kwargs if name not in known), elsewhere, takes)
            return function(*args, **kwargs)

        return answered

    return decorate
