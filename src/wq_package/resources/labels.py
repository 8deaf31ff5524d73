"""The labels of a category, whatever its mode (logic module)."""

from __future__ import annotations

from typing import Protocol

from wq_package.resources.adaptive import AdaptiveLabels
from wq_package.resources.category import CategoryOptions, LabelMode, Usage
from wq_package.resources.classic import ClassicLabels
from wq_package.task import Resources

__all__ = ["Labels", "make_labels"]


class Labels(Protocol):
    """What is known of the needs of a category's tasks."""

    @property
    def ladder(self) -> tuple[Resources, ...]:
        """What is tried one after the other before a whole worker; the first is the label. Empty: not known yet."""
        ...

    @property
    def is_steady(self) -> bool:
        """Whether enough was measured for a label."""
        ...

    @property
    def is_probing(self) -> bool:
        """Whether first tries are to be given shares of a worker of several sizes, for nothing is known."""
        ...

    def begin(self) -> int:
        """Count a first try; give its number."""
        ...

    def observe(
        self,
        usage: Usage,
        largest: Resources,
        *,
        serial: int = 0,
        cores: float = 0,
        was_retried: bool = False,
    ) -> bool:
        """Take in a task that ended; tell whether the ladder may be another now.

        Args:
            usage: what it used.
            largest: what the largest worker has.
            serial: what `begin` gave for it.
            cores: how many cores it was given.
            was_retried: whether it was exhausted before.
        """
        ...

    def observe_exhaustion(self, usage: Usage, largest: Resources, *, serial: int = 0) -> bool:
        """Take in a first try that used more than its label; tell whether the ladder may be another now."""
        ...


def make_labels(options: CategoryOptions) -> Labels | None:
    """Start the statistics of a category; `None` if its tasks get no labels."""
    match options.mode:
        case LabelMode.FIXED:
            return None
        case LabelMode.ADAPTIVE:
            return AdaptiveLabels(options)
        case _:
            return ClassicLabels(options)
