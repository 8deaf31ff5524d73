"""The worker's decisions: pure, events in, actions out.

Knows tasks and calls (waiting, running, ended), what they hold of the worker's resources, which cache entries exist and
who reads them, which environments are on their way, and what the manager has asked. Knows no socket, clock or file.
"""

from __future__ import annotations

from wq_package.worker.state.machine import WorkerState
from wq_package.worker.state.records import WORKER_PYTHON, is_inside_name

__all__ = ["WORKER_PYTHON", "WorkerState", "is_inside_name"]
