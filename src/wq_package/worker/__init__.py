"""The worker: serves one manager after the other, with command tasks and calls in warm interpreters.

`state` decides, `client` carries out; the rooms beside them each know one thing: `cache`, `sandbox`, `process`, `runs`,
`functions`, `environments`, `discovery`, and `store`, which is shared by all workers of a machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wq_package.worker.options import WorkerOptions

if TYPE_CHECKING:
    from wq_package.worker.client import run_worker

__all__ = ["WorkerOptions", "run_worker"]


def __getattr__(name: str) -> Any:
    """Import `run_worker` when it is first wanted: the store alone is often all that is."""
    if name != "run_worker":
        raise AttributeError(name)
    from wq_package.worker.client import run_worker

    return run_worker
