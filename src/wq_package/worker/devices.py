"""Which processors and graphics cards a task has for itself (logic module).

Knows their numbers. Knows nothing of tasks or of how a process is kept on a processor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["NO_DEVICES", "DevicePool", "Devices"]


@dataclass(frozen=True, slots=True)
class Devices:
    """What was handed out.

    Attributes:
        processors: the only ones to run on, with `share` of each; empty for any.
        gpus: names of the graphics cards, as `CUDA_VISIBLE_DEVICES` has them.
    """

    processors: tuple[int, ...] = ()
    share: float = 0.0
    gpus: tuple[str, ...] = ()


NO_DEVICES = Devices()


class DevicePool:
    """Hands out processors and graphics cards one by one.

    Args:
        processors: the numbers of those that this worker may run on.
        gpus: the names of the graphics cards.
    """

    def __init__(self, processors: Iterable[int], gpus: Iterable[str] = ()) -> None:
        self._loads = dict.fromkeys(sorted(processors), 0.0)
        self._gpus = list(gpus)

    def take(self, cores: float, gpus: float, *, is_pinned: bool) -> Devices:
        """Take what a task is to have; processors only if it is kept on them.

        The least loaded ones are taken. So tasks of whole cores never meet while the worker promises no more cores
        than there are processors, and fractions share.
        """
        cards = self._gpus[: int(gpus)]
        del self._gpus[: int(gpus)]
        if not is_pinned or cores <= 0:
            return Devices(gpus=tuple(cards)) if cards else NO_DEVICES
        count = min(math.ceil(cores - 0.001), len(self._loads))
        chosen = sorted(self._loads, key=lambda number: (self._loads[number], number))[:count]
        share = cores / count
        for number in chosen:
            self._loads[number] += share
        return Devices(tuple(sorted(chosen)), share, tuple(cards))

    def give_back(self, devices: Devices) -> None:
        """Take back what was handed out."""
        self._gpus.extend(devices.gpus)
        for number in devices.processors:
            self._loads[number] -= devices.share
