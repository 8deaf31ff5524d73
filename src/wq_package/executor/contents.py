"""Notices when what is in an object changes: items of lists, sets and dicts, attributes of the program's own objects (logic module).

This is looked at for each task, and so only as far as a settings object or a small table goes. Nothing of the user's is called.
Keeps no part of an object alive that can be referred to weakly.
"""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any

from wq_package.executor.behind import is_dispatcher

__all__ = ["Contents", "note_contents", "refer", "stands_for"]

_LOOKED_AT = 100
"""Parts of one object, those of its parts included; of what has more, only the number is known."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What was in an object.

    Attributes:
        module: the name of the program's module, whose own objects are looked into.
        sizes: the number of parts of the object, and of those of its parts that have some.
        parts: as `refer` gives them.
    """

    module: str
    sizes: tuple[int, ...]
    parts: tuple[object, ...]

    def have_changed(self, value: object) -> bool:
        """Tell whether other parts are in the object now."""
        sizes, parts = _look_inside(value, self.module)
        if sizes != self.sizes:
            return True
        # No function where none is needed: this is done for each task.
        return any(
            held is not part and not stands_for(held, part)
            for held, part in zip(self.parts, parts, strict=True)
        )


def note_contents(value: object, module: str) -> Contents | None:
    """Note what is in an object; `None` if nothing in it can change that is looked at."""
    sizes, parts = _look_inside(value, module)
    return Contents(module, sizes, tuple(map(refer, parts))) if sizes else None


def refer(value: object) -> object:
    """Refer to an object weakly, or give it as it is where that cannot be done."""
    try:
        return weakref.ref(value)
    except TypeError:
        return value


def stands_for(reference: object, value: object) -> bool:
    """Tell whether `refer` was asked about this very object."""
    return reference is value or (
        type(reference) is weakref.ref and value is not None and reference() is value
    )


def _look_inside(value: object, module: str) -> tuple[tuple[int, ...], list[object]]:
    sizes: list[int] = []
    parts: list[object] = []
    waiting = [value]
    while waiting:
        room = _LOOKED_AT - len(parts)
        size, inner = _open(waiting.pop(), module, room)
        if size is not None:
            sizes.append(size)
            parts += inner
            waiting += [part for part in inner if type(part) not in _CLOSED]
    return tuple(sizes), parts


_SEQUENCES: tuple[Any, ...] = (list, tuple, set, deque)
_CLOSED = frozenset({int, float, complex, bool, str, bytes, type(None)})


def _open(value: object, module: str, room: int) -> tuple[int | None, list[object]]:
    """Count and list the parts of an object that has some, without calling anything of its class; list no more than there is room for."""
    if isinstance(value, dict):
        size = dict.__len__(value)
        return size, [*dict.keys(value), *dict.values(value)] if 2 * size <= room else []
    for kind in _SEQUENCES:
        if isinstance(value, kind):
            size = kind.__len__(value)
            return size, [*kind.__iter__(value)] if size <= room else []
    if is_dispatcher(value):
        return _open(dict(value.registry), module, room)  # type: ignore[attr-defined]  # that is what it is known by
    if (value if isinstance(value, type) else type(value)).__module__ != module:
        return None, []
    return _open(_list_attributes(value), module, room)


def _list_attributes(value: object) -> dict[str, object] | None:
    """Give an object's attributes, or what is defined in a class, without what Python notes there itself."""
    if isinstance(value, type):
        return {name: part for name, part in vars(value).items() if name[:2] != "__"}
    try:
        attributes: dict[str, object] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return attributes
