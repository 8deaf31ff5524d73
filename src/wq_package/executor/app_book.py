"""Remembers what the apps that were seen travel as (logic module).

Knows functions and shipments; lets go of those that nobody can call any more, but for one function of each place in the source.
Knows nothing of environments or queues.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from wq_package.executor.bindings import Bindings, list_functions, note_bindings
from wq_package.executor.functions import AppKind, ResolvedApp, find_roots, resolve_app
from wq_package.executor.shipments import Shipment, pack_function, stamp_own_files

__all__ = ["AppBook"]

logger = logging.getLogger(__name__)

_EDITION_SECONDS = 1.0
_MANY_TIMES = 20
_ADVICE = (
    "app %s was packed %d times, now because `%s` has changed, and workers keep what they were sent: "
    "give the app as an argument what changes from task to task"
)


@dataclass(frozen=True, slots=True)
class _Packed:
    """What an app travels as, until a name that it uses means something else; packed so many times by now."""

    shipment: Shipment
    bindings: Bindings
    times: int


class AppBook:
    """Packs each app once, whatever Parsl wraps round it, and again when what it uses has changed."""

    def __init__(self) -> None:
        self._shipments: weakref.WeakKeyDictionary[Any, dict[tuple[AppKind, float | None], _Packed]]
        self._shipments = weakref.WeakKeyDictionary()
        self._roots: dict[object, tuple[FunctionType, ...]] = {}
        self._edition = (-math.inf, 0)

    def find_shipment(self, func: Callable[..., Any]) -> Shipment:
        """Find what a callable that Parsl submits travels as, or pack it.

        Raises:
            UnsendableError: it cannot be pickled.
        """
        app = resolve_app(func)
        if app.kind is AppKind.WHOLE:  # a new object for each task
            return self._pack(app, find_roots(app.function))
        try:
            known = self._shipments.setdefault(app.function, {})
        except TypeError:  # neither hashable nor weakly referable
            return self._pack(app, find_roots(app.function))
        packed = known.get((app.kind, app.walltime))
        changed = packed.bindings.find_changed() if packed else None
        if packed is None or changed is not None:
            roots = find_roots(app.function)
            # Noted first: what changes meanwhile is noticed the next time.
            bindings = note_bindings(list_functions(roots))
            times = packed.times + 1 if packed else 1
            packed = known[app.kind, app.walltime] = _Packed(self._pack(app, roots), bindings, times)
            if times == _MANY_TIMES:
                logger.warning(_ADVICE, app.name, times, changed)
        return packed.shipment

    def get_roots(self, shipment: Shipment) -> tuple[FunctionType, ...]:
        """Get the user's functions in what was packed."""
        return self._roots[shipment.key.places]

    def _pack(self, app: ResolvedApp, roots: tuple[FunctionType, ...]) -> Shipment:
        shipment = pack_function(app, roots, self._find_edition(app.kind))
        self._roots.setdefault(shipment.key.places, roots)
        return shipment

    def _find_edition(self, kind: AppKind) -> int:
        """Tell the state of the user's files; what is packed for each call anew looks at them once a second."""
        now = time.monotonic()
        if kind is not AppKind.WHOLE or now - self._edition[0] > _EDITION_SECONDS:
            self._edition = (now, stamp_own_files())
        return self._edition[1]
