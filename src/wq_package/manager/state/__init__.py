"""The manager's decisions: pure, events in, actions out.

Knows tasks and workers; to it an environment is a named thing that a worker has or lacks. Knows no socket, file or
clock.
"""

from __future__ import annotations

from wq_package.manager.state.machine import ManagerState
from wq_package.manager.state.options import StateOptions
from wq_package.manager.state.statistics import Statistics

__all__ = ["ManagerState", "StateOptions", "Statistics"]
