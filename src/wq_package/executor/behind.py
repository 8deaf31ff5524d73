"""Looks behind what `functools` wraps round the user's functions (logic module). Calls nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import FunctionType

__all__ = ["is_dispatcher", "iter_behind"]

_DISPATCHER = functools.singledispatch(len).__code__  # type: ignore[attr-defined]  # it is a function


def is_dispatcher(value: object) -> bool:
    """Tell whether `singledispatch` made a function."""
    return isinstance(value, FunctionType) and value.__code__ is _DISPATCHER


def iter_behind(value: object) -> Iterator[object]:
    """Give what is called behind `lru_cache` and `singledispatch`, and anything else as it is."""
    if isinstance(value, functools._lru_cache_wrapper):
        yield value.__wrapped__
    elif is_dispatcher(value):
        yield from value.registry.values()  # type: ignore[attr-defined]  # that is what it is known by
    else:
        yield value
