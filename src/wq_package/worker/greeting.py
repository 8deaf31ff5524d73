"""What a worker says first, and when what it has changes (logic module).

Knows the order of work-queue.md 2.3, which managers rely on. Knows nothing of where the values come from.
"""

from __future__ import annotations

from collections.abc import Iterable

from wq_package.protocol import messages as wire
from wq_package.worker.actions import Box

__all__ = ["render_greeting", "render_resources"]


def render_resources(box: Box, tag: int) -> tuple[wire.Message, ...]:
    """Render what a worker has, and the number of the last task that it was given."""
    amounts = {"disk": box.disk_mb, "memory": box.memory_mb, "gpus": box.gpus, "cores": box.cores}
    lines = [wire.Resource("workers", 1, 1, 1)]
    lines.extend(
        wire.Resource(name, int(amount), int(amount), int(amount)) for name, amount in amounts.items()
    )
    lines.append(wire.Resource("tag", tag, tag, tag))
    return (*lines, wire.Info("end_of_resource_update", "0"))


def render_greeting(
    identity: wire.Workqueue, worker_id: str, features: Iterable[str], box: Box, end_time: float
) -> tuple[wire.Message, ...]:
    """Render everything that a worker says first.

    A manager gives no task to a worker that does not say when it ends: 0 means that it has no limit.
    """
    return (
        identity,
        wire.Info("worker-id", worker_id),
        *(wire.Feature(name) for name in features),
        wire.Alive(),
        *render_resources(box, 0),
        wire.Info("tasks_running", "0"),
        wire.Info("worker-end-time", str(int(end_time))),
    )
