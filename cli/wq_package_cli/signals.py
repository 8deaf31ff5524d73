"""What `wq-package` does when it is told to end: by Ctrl-C, by SIGTERM, by a terminal that closes (shell module).

Each unwinds the command, so that nothing half-made is left, and ends the programs that it started.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from wq_package.programs import end_programs

__all__ = ["Interruption", "obeying_signals"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Which signal has come.

    Attributes:
        number: the signal, or `None` so far.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None

    def come(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread, once: a second signal must not interrupt the tidying up after the first."""
        if self.number is None:
            self.number = signal.Signals(number)
            end_programs()
            raise KeyboardInterrupt


@contextmanager
def obeying_signals() -> Iterator[Interruption]:
    """Turn the first signal into a `KeyboardInterrupt`; signals that whoever started us ignores stay ignored."""
    interruption = Interruption()
    ordinary = (signal.SIG_DFL, signal.default_int_handler)
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _NUMBERS if is_main}
    before = {number: handler for number, handler in before.items() if handler in ordinary}
    for number in before:
        signal.signal(number, interruption.come)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
