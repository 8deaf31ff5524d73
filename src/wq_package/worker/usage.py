"""What a task used, as the rooms of a worker hand it on (value module).

Knows the figures; knows nothing of how they are found or where they go.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NOT_MEASURED", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a task used; negative where it was not measured. In the order of `protocol.messages.Result`.

    Attributes:
        limit: the resource of which it used too much, or empty; with `allowed` and `used`.
    """

    cpu_usec: int = -1
    memory_mb: float = -1.0
    disk_mb: float = -1.0
    cores: float = -1.0
    read_mb: float = -1.0
    written_mb: float = -1.0
    processes: int = -1
    limit: str = ""
    allowed: float = 0.0
    used: float = 0.0


NOT_MEASURED = Usage()
